(** "Exponentially decreasing" against "exponentially non-increasing", and what λ = 0 leaves.

    Paper v2, Appendix B, second theorem: small changes "produce deviations which are exponentially
    decreasing over discrete-time, i.e., max |...| ∈ O(ε exp(Nζ)), for some scalar ζ <= 0" (Theorem 1 of
    Section 3.1 says "non-increasing" of the same bound); Section 3.1: "when λ_max <= 0, nearby
    trajectories ultimately converge to the same fixed point or periodic cycles".

    Both words fail where λ = 0: with A = 0, which Lemma 1 admits ("A ∈ R_{<=0}"), a deviation never
    changes; with A = -1 and step sizes Δ_t > 0 that vanish fast enough a deviation shrinks at every step
    and keeps more than half of itself for ever, so that no ζ < 0 bounds it and the two trajectories go to
    two fixed points. That layer is of the code's kind; its inputs are unbounded, and must be: with
    inputs in a bounded set ζ < 0 (Theorem1.v, [theorem1_mamba]), so "decreasing" does hold there. *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis Lyapunov.Model Lyapunov.Lemma1.
Require Import Lyapunov.Theorem1 Lyapunov.Examples.
Local Open Scope R_scope.

(** ** A = 0 *)

Definition standing_still : layer := {|
  width := 1; inputs := 1; outputs := 1; hold := Euler; A := fun _ => 0;
  step_size := fun _ _ => 1; inward := fun _ _ => 0; outward := fun _ _ _ => 1;
  skip := fun _ => 0; drive := fun _ => O
|}.

Theorem zero_decay_keeps_deviations : admissible standing_still /\
  (forall u T, exponent standing_still u T = 0) /\
  forall u x0 x0' N, deviation standing_still x0 x0' u u N O = x0' O - x0 O.
Proof.
  split; [split; simpl; intros; try lra; try lia; discriminate|]. split.
  - intros u T. unfold exponent, jacobians_norm. simpl.
    rewrite Rmult_0_l, exp_0, Rmax_right, ln_1 by lra. unfold Rdiv. lra.
  - intros. rewrite deviation_exact. simpl. rewrite Rmult_0_l, exp_0. lra.
Qed.

(** ** A = -1 and vanishing step sizes: Δ_t = -ln(1 - 1/(t+1)²) *)

(** Δ_1 + ... + Δ_T = ln(2 (T+1) / (T+2)). *)
Definition vanishing_total (T : nat) : R := ln (2 * (INR T + 1) / (INR T + 2)).
Definition vanishing (_ t : nat) : R := vanishing_total t - vanishing_total (t - 1).

Lemma vanishing_pos : forall t, 0 < vanishing 0 (S t).
Proof.
  intros t. unfold vanishing, vanishing_total. rewrite Nat.sub_succ, Nat.sub_0_r, S_INR.
  pose proof (pos_INR t). apply Rlt_Rminus, ln_increasing.
  - apply Rdiv_lt_0_compat; lra.
  - apply Rmult_lt_reg_r with ((INR t + 2) * (INR t + 1 + 2)); [nra|].
    replace (2 * (INR t + 1) / (INR t + 2) * ((INR t + 2) * (INR t + 1 + 2)))
      with (2 * (INR t + 1) * (INR t + 3)) by (field; lra).
    replace (2 * (INR t + 1 + 1) / (INR t + 1 + 2) * ((INR t + 2) * (INR t + 1 + 2)))
      with (2 * (INR t + 2) * (INR t + 2)) by (field; lra).
    nra.
Qed.

Lemma vanishing_sum : forall T, sum T (fun s => vanishing 0 (S s)) = vanishing_total T.
Proof.
  intros T. rewrite (sum_ext T _ (fun s => vanishing_total (S s) - vanishing_total s)).
  - rewrite sum_telescope. unfold vanishing_total at 2. simpl.
    replace (2 * (0 + 1) / (0 + 2)) with 1 by field. rewrite ln_1. lra.
  - intros s _. unfold vanishing. rewrite Nat.sub_succ, Nat.sub_0_r. reflexivity.
Qed.

(** ε has become ε (N+2) / (2 (N+1)) after N steps: exact, and above ε/2. *)
Lemma vanishing_deviation : forall x0 e N,
  deviation (mamba_layer (driven 1)) x0 (fun k => x0 k + e) (driving vanishing) (driving vanishing) N O
  = e * ((INR N + 2) / (2 * (INR N + 1))).
Proof.
  intros x0 e N. rewrite driven_one_deviation, vanishing_sum by apply vanishing_pos.
  pose proof (pos_INR N). unfold vanishing_total.
  rewrite exp_Ropp, exp_ln by (apply Rdiv_lt_0_compat; lra). field. lra.
Qed.

Lemma vanishing_keeps_half : forall N, / 2 < (INR N + 2) / (2 * (INR N + 1)).
Proof.
  intros N. pose proof (pos_INR N). apply Rmult_lt_reg_r with (2 * (INR N + 1)); [lra|].
  replace ((INR N + 2) / (2 * (INR N + 1)) * (2 * (INR N + 1))) with (INR N + 2) by (field; lra). lra.
Qed.

Lemma vanishing_exponent : Un_cv (exponent (mamba_layer (driven 1)) (driving vanishing)) 0.
Proof.
  apply limit_by_rate with (c := 1); [lra|]. intros T HT.
  rewrite driven_one_exponent, vanishing_sum by apply vanishing_pos.
  assert (0 < INR T) by now apply lt_0_INR. unfold vanishing_total.
  set (q := 2 * (INR T + 1) / (INR T + 2)).
  assert (Hq : 1 <= q <= 2).
  { unfold q. split; apply Rmult_le_reg_r with (INR T + 2); try lra;
      replace (2 * (INR T + 1) / (INR T + 2) * (INR T + 2)) with (2 * (INR T + 1)) by (field; lra); lra. }
  assert (Hl : 0 <= ln q <= 1).
  { split; [rewrite <- ln_1; apply ln_mono; lra|]. pose proof (ln_le_line q ltac:(lra)). lra. }
  replace (- ln q / INR T - 0) with (- (ln q / INR T)) by (unfold Rdiv; ring).
  assert (0 < / INR T) by now apply Rinv_0_lt_compat.
  rewrite Rabs_Ropp, Rabs_pos_eq by (unfold Rdiv; nra). unfold Rdiv. nra.
Qed.

(** λ = 0 does not converge: two trajectories of one layer with the same inputs, λ_max = 0, start ε
    apart and are more than ε/2 apart at every N, though closer than at N - 1. *)
Theorem lambda_zero_does_not_converge : exists m u, well_shaped m /\
  Un_cv (exponent (mamba_layer m) u) 0 /\
  forall x0 e N, 0 < e ->
    let dx N := max_norm (width (mamba_layer m)) (deviation (mamba_layer m) x0 (fun k => x0 k + e) u u N) in
    dx N = e * ((INR N + 2) / (2 * (INR N + 1))) /\ e / 2 < dx N /\ dx (S N) < dx N.
Proof.
  exists (driven 1), (driving vanishing). split; [apply driven_shape; lia|].
  split; [apply vanishing_exponent|]. intros x0 e N He dx.
  assert (E : forall N, dx N = e * ((INR N + 2) / (2 * (INR N + 1)))).
  { intros n. unfold dx. rewrite driven_width. unfold max_norm. cbn [largest].
    rewrite Rmax_right by apply Rabs_pos. rewrite vanishing_deviation.
    apply Rabs_pos_eq. pose proof (vanishing_keeps_half n). nra. }
  split; [apply E|]. split.
  - rewrite E. pose proof (vanishing_keeps_half N). nra.
  - rewrite !E, S_INR. apply Rmult_lt_compat_l; [assumption|]. pose proof (pos_INR N).
    apply Rmult_lt_reg_r with (2 * (INR N + 1) * (INR N + 1 + 1)); [nra|].
    replace ((INR N + 1 + 2) / (2 * (INR N + 1 + 1)) * (2 * (INR N + 1) * (INR N + 1 + 1)))
      with ((INR N + 3) * (INR N + 1)) by (field; lra).
    replace ((INR N + 2) / (2 * (INR N + 1)) * (2 * (INR N + 1) * (INR N + 1 + 1)))
      with ((INR N + 2) * (INR N + 2)) by (field; lra).
    nra.
Qed.

(** "Exponentially decreasing" with some ζ < 0: of no constant and no rate, although A < 0 and Δ > 0. *)
Theorem no_negative_rate : exists m u, well_shaped m /\
  forall K rate x0 e, rate < 0 -> 0 < e -> exists N,
    K * e * exp (INR N * rate)
    < max_norm (width (mamba_layer m)) (deviation (mamba_layer m) x0 (fun k => x0 k + e) u u N).
Proof.
  destruct lambda_zero_does_not_converge as (m & u & Hm & _ & H).
  exists m, u. split; [assumption|]. intros K rate x0 e Hrate He.
  destruct (nat_above (2 * Rabs K / - rate)) as (N & HN & HNpos). exists N.
  destruct (H x0 e N He) as (_ & Hhalf & _). eapply Rle_lt_trans; [|exact Hhalf].
  (* exp(N rate) <= 1 / (1 + N |rate|) < 1 / (2 |K|) *)
  set (s := INR N * - rate).
  assert (Hs : 2 * Rabs K < s).
  { unfold s. apply Rmult_lt_reg_r with (/ - rate); [apply Rinv_0_lt_compat; lra|].
    replace (INR N * - rate * / - rate) with (INR N) by (field; lra). exact HN. }
  replace (INR N * rate) with (- s) by (unfold s; ring).
  pose proof (Rabs_pos K). pose proof (Rle_abs K). pose proof (exp_pos (- s)).
  assert (HE : exp (- s) * (1 + s) <= 1).
  { pose proof (exp_ge_line s). assert (exp (- s) * exp s = 1) by (rewrite <- exp_plus, <- exp_0; f_equal; lra).
    nra. }
  assert (K * exp (- s) <= / 2) by nra.
  nra.
Qed.
