(** Why the theorems ask for inputs in a bounded set: without it both are false of a Mamba layer.

    Paper v2, Theorems 1 and 2 (Section 3.1; Appendices B and C) put no condition on the inputs; their
    proofs take B̄_t and C_t as given sequences that the perturbation does not reach. *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis Lyapunov.Model Lyapunov.Lemma1.
Require Import Lyapunov.Theorem1 Lyapunov.Examples.
Local Open Scope R_scope.

Lemma pow2_ge : forall N, INR N <= 2 ^ N.
Proof.
  induction N as [|N IH]; [simpl; lra|]. rewrite S_INR. simpl.
  assert (1 <= 2 ^ N) by (apply pow_R1_Rle; lra). lra.
Qed.

(** Theorem 1: no constant K serves all inputs, not even for N = 1. Here x_1 = x_0/2 + u_1²/2. *)
Theorem theorem1_needs_bounded_inputs : exists m, well_shaped m /\
  forall K e x0, 0 < e -> exists u : nat -> vec,
    let l := mamba_layer m in
    K * e < max_norm (width l)
      (deviation l x0 (fun k => x0 k + e) u (first (fun j => u 1%nat j + e) u) 1).
Proof.
  exists halving. split; [apply halving_shape|]. intros K e x0 He.
  exists (fun _ _ => Rabs K). intros l.
  eapply Rlt_le_trans; [|apply (max_norm_ge _ _ 0); change (width l) with 1%nat; lia].
  unfold deviation. simpl state. unfold first. simpl Nat.eqb. cbv iota.
  unfold l. rewrite !halving_step. pose proof (Rabs_pos K). pose proof (Rle_abs K).
  eapply Rlt_le_trans; [|apply Rle_abs]. nra.
Qed.

(** Theorem 2: the states' deviations halve at every step (the theorem's assumption, with ζ = -ln 2),
    the outputs' double at every step: in O(ε exp(Nζ)) for no ζ <= 0. Here C_t = u_t = 4^t. *)
Theorem theorem2_needs_bounded_inputs : exists m u, well_shaped m /\
  forall x0 e, 0 < e ->
    let l := mamba_layer m in
    (forall N, max_norm (width l) (deviation l x0 (fun k => x0 k + e) u u N) = (/ 2) ^ N * e) /\
    (forall N, Rabs (output l (fun k => x0 k + e) u N O - output l x0 u N O) = 2 ^ N * e) /\
    (forall K z, z <= 0 -> exists N,
      K * e * exp (INR N * z) < Rabs (output l (fun k => x0 k + e) u N O - output l x0 u N O)).
Proof.
  exists halving, (fun t _ => 4 ^ t). set (u := fun t (_ : nat) => 4 ^ t).
  split; [apply halving_shape|]. intros x0 e He l.
  assert (Hdy : forall N, Rabs (output l (fun k => x0 k + e) u N O - output l x0 u N O) = 2 ^ N * e).
  { intros N. unfold output, l. rewrite !halving_output.
    pose proof (halving_deviation x0 e u N) as Hd. unfold deviation in Hd. unfold u at 1 3.
    rewrite <- Rmult_minus_distr_l, Hd, <- Rmult_assoc, <- Rpow_mult_distr.
    replace (4 * / 2) with 2 by lra. apply Rabs_pos_eq.
    apply Rmult_le_pos; [apply pow_le; lra|lra]. }
  split; [|split; [exact Hdy|]].
  - intros N. unfold l. change (width (mamba_layer halving)) with 1%nat. unfold max_norm. cbn [largest].
    rewrite Rmax_right by apply Rabs_pos. rewrite halving_deviation. apply Rabs_pos_eq.
    apply Rmult_le_pos; [apply pow_le; lra|lra].
  - intros K z Hz. destruct (nat_above (Rabs K)) as (N & HN & _). exists N. rewrite Hdy.
    pose proof (pow2_ge N). pose proof (Rle_abs K). pose proof (Rabs_pos K). pose proof (pos_INR N).
    pose proof (exp_le_1 (INR N * z) ltac:(nra)). pose proof (exp_pos (INR N * z)).
    assert (K * exp (INR N * z) <= Rabs K) by nra.
    assert (K * exp (INR N * z) < 2 ^ N) by lra. nra.
Qed.
