(** Two small Mamba layers, of which the counterexamples are made. Both are layers of the code's
    kind ([mamba_layer]: A = -exp(A_log), Δ = softplus(W_Δ u + bias)); only their inputs are chosen. *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis Lyapunov.Model Lyapunov.Lemma1 Lyapunov.Theorem1.
Local Open Scope R_scope.

(** ** n channels of one entry, each step size set by its own input: Δ_t[k] = softplus(u_t[k]), A = -1 *)

Definition driven (n : nat) : mamba := {|
  channels := n; entries := 1; reads := n; holds_by := ZeroOrderHold;
  A_log := fun _ _ => 0; W_step := identity; bias := fun _ => 0;
  W_in := fun c _ j => identity c j; W_out := fun c _ j => identity c j; D_skip := fun _ => 0
|}.

(** The inputs that make Δ_t[k] = delta k t. *)
Definition driving (delta : nat -> nat -> R) : nat -> vec := fun t k => softplus_inverse (delta k t).

Lemma driven_shape : forall n, (0 < n)%nat -> well_shaped (driven n).
Proof. intros n H. repeat split; simpl; lia. Qed.

Lemma driven_width : forall n, width (mamba_layer (driven n)) = n.
Proof. intros. simpl. lia. Qed.

Lemma driven_A : forall n k, A (mamba_layer (driven n)) k = - 1.
Proof. intros. simpl. now rewrite exp_0. Qed.

Lemma driven_step : forall n delta t k, (k < n)%nat -> 0 < delta k t ->
  step_size (mamba_layer (driven n)) (driving delta t) k = delta k t.
Proof.
  intros n delta t k Hk Hd. simpl. unfold channel, identity. simpl entries. rewrite Nat.div_1_r.
  rewrite apply_diagonal by assumption. unfold driving.
  rewrite Rmult_1_l, Rplus_0_r. now apply softplus_of_inverse.
Qed.

Lemma driven_elapsed : forall n delta k T, (k < n)%nat -> (forall t, 0 < delta k (S t)) ->
  elapsed (mamba_layer (driven n)) (driving delta) k T = sum T (fun s => delta k (S s)).
Proof. intros. apply sum_ext. intros s _. now apply driven_step. Qed.

(** Step sizes between 1 and 3 are made by inputs between 0 and 3. *)
Lemma driving_fits : forall n delta t, (forall k, (k < n)%nat -> 1 <= delta k t <= 3) ->
  Constants.fits (mamba_layer (driven n)) 3 (driving delta t).
Proof.
  intros n delta t H j Hj. simpl in Hj. specialize (H j Hj). unfold driving, softplus_inverse.
  pose proof (exp_ge_line (delta j t)).
  rewrite Rabs_pos_eq.
  - apply Rle_trans with (ln (exp (delta j t))); [apply ln_mono; lra|]. rewrite ln_exp. lra.
  - rewrite <- ln_1. apply ln_mono; lra.
Qed.

(** One channel: the norm of the product of Jacobians is exp(-(Δ_1 + ... + Δ_T)). *)
Lemma driven_one_norm : forall delta T, (forall t, 0 < delta O (S t)) ->
  jacobians_norm (mamba_layer (driven 1)) (driving delta) T = exp (- sum T (fun s => delta O (S s))).
Proof.
  intros delta T H. unfold jacobians_norm. rewrite driven_width. cbn [largest].
  rewrite Rmax_right by (left; apply exp_pos).
  rewrite driven_A, driven_elapsed by (auto with arith). f_equal. lra.
Qed.

Lemma driven_one_exponent : forall delta T, (forall t, 0 < delta O (S t)) ->
  exponent (mamba_layer (driven 1)) (driving delta) T = - sum T (fun s => delta O (S s)) / INR T.
Proof. intros. unfold exponent. now rewrite driven_one_norm, ln_exp. Qed.

Lemma driven_one_deviation : forall delta x0 x0' N, (forall t, 0 < delta O (S t)) ->
  deviation (mamba_layer (driven 1)) x0 x0' (driving delta) (driving delta) N O
  = exp (- sum N (fun s => delta O (S s))) * (x0' O - x0 O).
Proof.
  intros delta x0 x0' N H. rewrite deviation_exact, driven_A, driven_elapsed by (auto with arith).
  f_equal. f_equal. lra.
Qed.

(** ** One channel that halves its state at each step: Δ = softplus(0) = ln 2, A = -1, B = C = u *)

Definition halving : mamba := {|
  channels := 1; entries := 1; reads := 1; holds_by := ZeroOrderHold;
  A_log := fun _ _ => 0; W_step := fun _ _ => 0; bias := fun _ => 0;
  W_in := fun _ _ _ => 1; W_out := fun _ _ _ => 1; D_skip := fun _ => 0
|}.

Lemma halving_shape : well_shaped halving.
Proof. repeat split; simpl; lia. Qed.

Lemma halving_A_bar : forall u, A_bar (mamba_layer halving) u O = / 2.
Proof.
  intros u. unfold A_bar. simpl. unfold apply. simpl. rewrite exp_0, Rmult_0_l, !Rplus_0_r.
  unfold softplus. rewrite exp_0.
  replace (ln (1 + 1) * - (1)) with (- ln 2) by (replace (1 + 1) with 2 by lra; lra).
  rewrite exp_Ropp, exp_ln; lra.
Qed.

(** x_t = x_{t-1}/2 + u_t²/2. *)
Lemma halving_step : forall x u, F (mamba_layer halving) x u O = / 2 * x O + / 2 * (u O * u O).
Proof.
  intros x u. pose proof (halving_A_bar u) as HA. unfold F. rewrite HA. unfold B_bar, A_bar in *.
  simpl in *. unfold apply in *. simpl in *. rewrite HA, exp_0.
  change (channel halving 0) with O. field.
Qed.

(** y_t = u_t x_t. *)
Lemma halving_output : forall x u, read_out (mamba_layer halving) x u O = u O * x O.
Proof. intros x u. unfold read_out. simpl. unfold apply. simpl. lra. Qed.

(** ε in the state has become ε / 2^N after N steps. *)
Lemma halving_deviation : forall x0 e u N,
  deviation (mamba_layer halving) x0 (fun k => x0 k + e) u u N O = (/ 2) ^ N * e.
Proof.
  intros x0 e u N. unfold deviation. induction N as [|N IH]; simpl state; [simpl; lra|].
  rewrite step_linear, halving_A_bar, IH. simpl. lra.
Qed.
