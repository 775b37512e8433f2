(** What v3 (TMLR, August 2025) prints, as far as it is known: its abstract, and a sheet of its
    reproducibility variables.

    - Abstract: "recurrent dynamics, which we prove are guaranteed to be stable using dynamical systems
      theory (in particular, Lyapunov stability)". v2 speaks of Lyapunov exponents.
    - Variables sheet: "for a large number of randomly generated SSM layers, we show that manually
      adjusting initial latent and input states produces maximum deviations in the output states which
      exponentially decrease over discrete time".

    Proved: every trajectory of every admissible layer is Lyapunov stable in its state (with δ = ε), and
    under a change of state and first input where inputs stay in a bounded set; there, in the code's
    layer, output deviations are below K ε exp(Nζ) with ζ < 0 and go to 0. Any finitely many steps have
    inputs in a bounded set, so that holds of random layers, too; K and ζ depend on it.

    Not proved, since false: that each output deviation is below the one before (Theorem2.v,
    [outputs_may_rise]), and that a non-positive exponent, v2's tool, implies Lyapunov stability
    ([exponent_zero_is_not_lyapunov_stable]). *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis Lyapunov.Model Lyapunov.Constants Lyapunov.Lemma1.
Require Import Lyapunov.Theorem1 Lyapunov.Theorem2 Lyapunov.Section31.
Local Open Scope R_scope.

(** Lyapunov stability of the trajectory from x_0: whoever starts near it stays near it. *)
Definition lyapunov_stable (n : nat) (flow : vec -> nat -> vec) (x0 : vec) : Prop :=
  forall eps, 0 < eps -> exists delta, 0 < delta /\
    forall x0', max_norm n (fun k => x0' k - x0 k) < delta ->
      forall N, max_norm n (fun k => flow x0' N k - flow x0 N k) < eps.

(** Lyapunov stability, of every admissible layer, trajectory and sequence of inputs. *)
Theorem v3_lyapunov_stable : forall l u x0, admissible l ->
  lyapunov_stable (width l) (fun x => state l x u) x0.
Proof.
  intros l u x0 Hl eps Heps. exists eps. split; [assumption|]. intros x0' H N.
  eapply Rle_lt_trans; [|exact H]. clear H.
  change (max_norm (width l) (deviation l x0 x0' u u N) <= max_norm (width l) (fun k => x0' k - x0 k)).
  induction N as [|N IH]; [apply Rle_refl|].
  eapply Rle_trans; [now apply theorem1_max_norm_never_rises|exact IH].
Qed.

(** The same where the first input moves, too. *)
Theorem v3_stable_in_state_and_input : forall l b u x0, admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) ->
  forall eps, 0 < eps -> exists delta, 0 < delta /\
    forall x0' v, close (width l) delta x0 x0' -> close (inputs l) delta (u 1%nat) v -> fits l (reach b) v ->
      forall N, max_norm (width l) (deviation l x0 x0' u (first v u) N) < eps.
Proof.
  intros l b u x0 Hl Hb Hu eps Heps. set (c := 1 + kappa b (max_norm (width l) x0)).
  assert (Hc : 1 <= c) by (pose proof (kappa_nonneg l b _ Hb (max_norm_nonneg (width l) x0)); unfold c; lra).
  exists (eps / (2 * c)). assert (Hd : 0 < eps / (2 * c)) by (apply Rdiv_lt_0_compat; lra).
  assert (Hcd : c * (eps / (2 * c)) = eps / 2) by (field; lra).
  split; [exact Hd|]. intros x0' v Hx Hv Hfv N.
  apply Rle_lt_trans with (eps / 2); [|lra].
  apply max_norm_le; [lra|]. intros k Hk. destruct N as [|n].
  - eapply Rle_trans; [apply (Hx k Hk)|]. nra.
  - eapply Rle_trans; [apply (first_steps l b x0 x0' u v (eps / (2 * c)) n k Hl Hb Hu Hfv ltac:(lra) Hx Hv Hk)
      with (X := max_norm (width l) x0); apply Rle_refl|].
    fold c. rewrite Hcd. pose proof (zeta_nonpositive l b Hb). pose proof (pos_INR n).
    pose proof (exp_le_1 (INR n * zeta b) ltac:(nra)). nra.
Qed.

Lemma exp_vanishes : forall z, z < 0 -> forall N, (0 < N)%nat -> exp (INR N * z) <= (/ - z) / INR N.
Proof.
  intros z Hz N HN. assert (0 < INR N) by now apply lt_0_INR.
  set (s := INR N * - z). assert (Hs : 0 < s) by (unfold s; nra).
  replace (INR N * z) with (- s) by (unfold s; ring).
  replace (/ - z / INR N) with (/ s) by (unfold s; field; lra).
  pose proof (one_minus_exp_ge s ltac:(lra)). pose proof (exp_pos (- s)).
  apply Rmult_le_reg_r with s; [assumption|]. rewrite Rinv_l by lra. nra.
Qed.

(** The sheet's sentence, of every layer of the code's kind: x_0 and u_1 are moved by ε, and every output
    deviation is below K ε exp(Nζ), ζ < 0, with one K and ζ for all inputs in a bounded set; so they
    go to 0. *)
Theorem v3_outputs_decrease : forall m U x0, well_shaped m -> 0 <= U ->
  exists K zeta, zeta < 0 /\
    forall u e c, (forall t, fits (mamba_layer m) U (u t)) ->
      fits (mamba_layer m) U (fun j => u 1%nat j + e) -> (c < channels m)%nat ->
      let l := mamba_layer m in
      let dy N := Rabs (output l (fun k => x0 k + e) (first (fun j => u 1%nat j + e) u) N c
                        - output l x0 u N c) in
      (forall N, (0 < N)%nat -> dy N <= K * Rabs e * exp (INR N * zeta)) /\ Un_cv dy 0.
Proof.
  intros m U x0 Hm HU. destruct (theorem2_mamba m U x0 Hm HU) as (K & z & Hz & H).
  exists K, z. split; [assumption|]. intros u e c Hu Hv Hc l dy.
  assert (Hdy : forall N, (0 < N)%nat -> dy N <= K * Rabs e * exp (INR N * z)).
  { intros N HN. exact (H u 0%nat N e c Hu Hv HN Hc). }
  split; [exact Hdy|].
  apply limit_by_rate with (c := Rabs (K * Rabs e) * / - z).
  - apply Rmult_le_pos; [apply Rabs_pos|]. left. apply Rinv_0_lt_compat. lra.
  - intros N HN. rewrite Rminus_0_r, Rabs_pos_eq by apply Rabs_pos.
    eapply Rle_trans; [now apply Hdy|].
    eapply Rle_trans; [apply Rmult_le_compat_r; [left; apply exp_pos|apply Rle_abs]|].
    unfold Rdiv. rewrite Rmult_assoc. apply Rmult_le_compat_l; [apply Rabs_pos|]. now apply exp_vanishes.
Qed.

(** v2's tool does not give v3's word: an exponent of 0 without Lyapunov stability, x_t = M x_{t-1} with
    M = [[1, 1], [0, 1]]. *)
Theorem exponent_zero_is_not_lyapunov_stable : exists M, has_exponent 2 M 0 /\
  forall x0, ~ lyapunov_stable 2 (fun x => iterate 2 M x) x0.
Proof.
  exists shear. split; [apply shear_exponent|]. intros x0 H.
  destruct (H 1 ltac:(lra)) as (delta & Hd & Hstable).
  set (e := delta / 2).
  specialize (Hstable (fun k => x0 k + e)).
  assert (He : 0 < e) by (unfold e; lra).
  assert (Hclose : max_norm 2 (fun k => x0 k + e - x0 k) < delta).
  { apply Rle_lt_trans with e; [|unfold e; lra]. apply max_norm_le; [lra|]. intros k _.
    replace (x0 k + e - x0 k) with e by ring. rewrite Rabs_pos_eq; lra. }
  destruct (nat_above (/ e)) as (N & HN & _). specialize (Hstable Hclose N).
  pose proof (max_norm_ge 2 (fun k => iterate 2 shear (fun k => x0 k + e) N k - iterate 2 shear x0 N k)
    0 ltac:(lia)) as Hm.
  cbv beta in Hm. destruct (shear_deviation x0 e N) as [E _]. rewrite E in Hm.
  pose proof (Rle_abs ((INR N + 1) * e)).
  assert (1 < INR N * e) by (apply Rmult_lt_reg_r with (/ e);
    [now apply Rinv_0_lt_compat|rewrite Rmult_assoc, Rinv_r by lra; lra]).
  nra.
Qed.
