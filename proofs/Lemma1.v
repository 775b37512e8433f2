(** Lemma 1: the largest Lyapunov exponent of a MambaBlock is not positive.

    Paper v2, Section 3.1 and Appendix B, Lemma 1 and its proof:

        λ_max := lim_{T→∞} (1/T) log ‖ Π_t ∂x_t/∂x_{t-1} ‖_2,   "it suffices to show that λ_max <= 0".

    Proved: ∂x_t/∂x_{t-1} = Ā_t; the product over t = 1..T has spectral norm
    max_k exp(A[k] Σ_t Δ_t[k]) <= 1 for every T, so that (1/T) log of it is at most 0 for every T,
    and so are its limit, where there is one, and its limit superior, where there is none. Where
    Δ_t[k] >= δ > 0 and A[k] <= -a < 0, all are at most -a δ < 0.

    Not as printed: the product starts at t = 1 (printed: at t = 0, which needs a state x_{-1}; with
    one factor more or less the sign is the same, [lemma1_one_more_factor]); the dimension i of the
    proof is taken anew for every T (LimitAndArgmax.v); "lim" is shown to be at most 0 if it exists
    and need not (the same file). *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis Lyapunov.Model Lyapunov.Constants.
Local Open Scope R_scope.

(** ∂x_t/∂x_{t-1}, and the product of these of the steps T, T-1, ..., 1. *)
Definition jacobian (l : layer) (u : vec) : mat := diagonal (A_bar l u).

Fixpoint jacobians (l : layer) (u : nat -> vec) (T : nat) : mat :=
  match T with
  | O => identity
  | S s => product (width l) (jacobian l (u (S s))) (jacobians l u s)
  end.

(** (1/T) log ‖Π‖_2 in closed form; [exponent_as_printed] shows that it is that. *)
Definition jacobians_norm (l : layer) (u : nat -> vec) (T : nat) : R :=
  largest (width l) (fun k => exp (A l k * elapsed l u k T)).

Definition exponent (l : layer) (u : nat -> vec) (T : nat) : R := ln (jacobians_norm l u T) / INR T.

(** The step is affine in x_{t-1} and [jacobian] its matrix of partial derivatives. *)
Theorem jacobian_is_derivative : forall l u x i j,
  derivable_pt_lim (fun s => F l (fun k => if Nat.eqb k j then s else x k) u i) (x j) (jacobian l u i j).
Proof.
  intros l u x i j. unfold jacobian, diagonal, F.
  destruct (Nat.eqb i j).
  - pose proof (derivable_pt_lim_plus (fun s => A_bar l u i * s) (fun _ => B_bar l u i * u (drive l i))
      (x j) _ _ (derivable_pt_lim_scal id (A_bar l u i) _ _ (derivable_pt_lim_id (x j)))
      (derivable_pt_lim_const _ (x j))) as H.
    rewrite Rmult_1_r, Rplus_0_r in H. exact H.
  - apply (derivable_pt_lim_const (A_bar l u i * x i + B_bar l u i * u (drive l i))).
Qed.

Lemma jacobians_diagonal : forall l u T i j, (i < width l)%nat ->
  jacobians l u T i j = diagonal (fun k => exp (A l k * elapsed l u k T)) i j.
Proof.
  intros l u T i j Hi. unfold elapsed. induction T as [|T IH]; simpl.
  - unfold identity, diagonal. rewrite Rmult_0_r, exp_0. reflexivity.
  - unfold jacobian. rewrite product_diagonal, IH by assumption.
    unfold diagonal, A_bar. destruct (Nat.eqb i j); [|lra].
    rewrite <- exp_plus. f_equal. ring.
Qed.

(** The spectral norm of the product is max_k exp(A[k] Σ_t Δ_t[k]). *)
Theorem lemma1_norm : forall l u T, admissible l ->
  is_spectral_norm (width l) (jacobians l u T) (jacobians_norm l u T).
Proof.
  intros l u T Hl.
  replace (jacobians_norm l u T) with (max_norm (width l) (fun k => exp (A l k * elapsed l u k T))).
  - apply spectral_norm_diagonal; [now apply some_entry|]. intros i j Hi _. now apply jacobians_diagonal.
  - apply Rle_antisym; apply largest_le; try apply largest_nonneg; intros k Hk.
    + rewrite Rabs_pos_eq by (left; apply exp_pos).
      apply (largest_ge _ (fun k => exp (A l k * elapsed l u k T)) k Hk).
    + eapply Rle_trans; [apply Rle_abs|].
      apply (max_norm_ge _ (fun k => exp (A l k * elapsed l u k T)) k Hk).
Qed.

(** So [exponent] is the paper's (1/T) log ‖Π‖_2, whichever way the norm was found. *)
Theorem exponent_as_printed : forall l u T s, admissible l ->
  is_spectral_norm (width l) (jacobians l u T) s -> exponent l u T = ln s / INR T.
Proof.
  intros l u T s Hl Hs. unfold exponent.
  now rewrite (spectral_norm_unique _ _ _ _ Hs (lemma1_norm l u T Hl)).
Qed.

Lemma jacobians_norm_pos : forall l u T, admissible l -> 0 < jacobians_norm l u T.
Proof.
  intros l u T Hl. eapply Rlt_le_trans; [apply (exp_pos (A l O * elapsed l u O T))|].
  apply (largest_ge _ (fun k => exp (A l k * elapsed l u k T))). now apply some_entry.
Qed.

(** The norm is at most exp(-a δ T) where Δ_t[k] >= δ and A[k] <= -a; with a = δ = 0 that is 1. *)
Lemma jacobians_norm_le : forall l u a delta T, admissible l -> 0 <= a -> 0 <= delta ->
  (forall k, (k < width l)%nat -> A l k <= - a) ->
  (forall t k, (k < width l)%nat -> delta <= step_size l (u (S t)) k) ->
  jacobians_norm l u T <= exp (INR T * - (a * delta)).
Proof.
  intros l u a delta T Hl Ha Hd HA HD.
  apply largest_le; [left; apply exp_pos|]. intros k Hk. apply exp_mono.
  assert (INR T * delta <= elapsed l u k T).
  { unfold elapsed. rewrite <- sum_const. apply sum_le. intros. now apply HD. }
  specialize (HA k Hk). pose proof (pos_INR T).
  assert (0 <= INR T * delta) by nra. nra.
Qed.

(** Lemma 1, for every T: the product of Jacobians has norm at most 1. *)
Theorem lemma1_norm_at_most_1 : forall l u T s, admissible l ->
  is_spectral_norm (width l) (jacobians l u T) s -> s <= 1.
Proof.
  intros l u T s Hl Hs.
  rewrite (spectral_norm_unique _ _ _ _ Hs (lemma1_norm l u T Hl)).
  pose proof (jacobians_norm_le l u 0 0 T Hl ltac:(lra) ltac:(lra)) as H.
  rewrite Rmult_0_l, Ropp_0, Rmult_0_r, exp_0 in H. apply H.
  - intros k Hk. pose proof (A_nonpositive l Hl k Hk). lra.
  - intros. now apply step_nonnegative.
Qed.

(** ... and the exponent over T steps is at most -a δ, hence at most 0. *)
Lemma exponent_le : forall l u a delta T, admissible l -> 0 <= a -> 0 <= delta ->
  (forall k, (k < width l)%nat -> A l k <= - a) ->
  (forall t k, (k < width l)%nat -> delta <= step_size l (u (S t)) k) ->
  (0 < T)%nat -> exponent l u T <= - (a * delta).
Proof.
  intros l u a delta T Hl Ha Hd HA HD HT. unfold exponent.
  assert (0 < INR T) by now apply lt_0_INR.
  apply Rmult_le_reg_r with (INR T); [assumption|]. unfold Rdiv.
  rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  pose proof (jacobians_norm_le l u a delta T Hl Ha Hd HA HD) as HN.
  apply ln_mono in HN; [|now apply jacobians_norm_pos]. rewrite ln_exp in HN. lra.
Qed.

Theorem lemma1_every_T : forall l u T, admissible l -> (0 < T)%nat -> exponent l u T <= 0.
Proof.
  intros l u T Hl HT. replace 0 with (- (0 * 0)) by lra. apply exponent_le; try assumption; try lra.
  - intros k Hk. pose proof (A_nonpositive l Hl k Hk). lra.
  - intros. now apply step_nonnegative.
Qed.

(** The printed product of Appendix B has T + 1 factors (t = 0..T) over T steps. *)
Theorem lemma1_one_more_factor : forall l u T, admissible l -> (0 < T)%nat ->
  ln (jacobians_norm l u (S T)) / INR T <= 0.
Proof.
  intros l u T Hl HT. pose proof (lemma1_every_T l u (S T) Hl ltac:(lia)) as H.
  unfold exponent, Rdiv in *.
  assert (0 < / INR T) by now apply Rinv_0_lt_compat, lt_0_INR.
  assert (0 < / INR (S T)) by (apply Rinv_0_lt_compat, lt_0_INR; lia).
  nra.
Qed.

(** Lemma 1 as printed: the limit, where it exists, is not positive. *)
Theorem lemma1_limit : forall l u lambda, admissible l -> Un_cv (exponent l u) lambda -> lambda <= 0.
Proof. intros l u lambda Hl H. apply (limit_le _ _ 0 1%nat H). intros. now apply lemma1_every_T. Qed.

(** Lemma 1 with the limit superior, which covers every sequence of inputs. *)
Theorem lemma1_limsup : forall l u lambda, admissible l -> is_limsup (exponent l u) lambda -> lambda <= 0.
Proof. intros l u lambda Hl H. apply (limsup_le _ _ 0 1%nat H). intros. now apply lemma1_every_T. Qed.

(** Strictly negative where Δ_t stays above a positive constant. *)
Theorem lemma1_negative : forall l u a delta lambda, admissible l -> 0 < a -> 0 < delta ->
  (forall k, (k < width l)%nat -> A l k <= - a) ->
  (forall t k, (k < width l)%nat -> delta <= step_size l (u (S t)) k) ->
  is_limsup (exponent l u) lambda -> lambda <= - (a * delta) < 0.
Proof.
  intros l u a delta lambda Hl Ha Hd HA HD H. split; [|nra].
  apply (limsup_le _ _ _ 1%nat H). intros. apply exponent_le; try assumption; lra.
Qed.

(** The code's layer with inputs in a bounded set: λ <= ζ < 0, ζ a function of the weights. *)
Theorem lemma1_mamba : forall m U u, well_shaped m -> 0 <= U ->
  (forall t, fits (mamba_layer m) U (u t)) ->
  zeta (mamba_constants m U) < 0 /\
  forall T, (0 < T)%nat -> exponent (mamba_layer m) u T <= zeta (mamba_constants m U).
Proof.
  intros m U u Hm HU Hu. split; [now apply mamba_zeta_negative|]. intros T HT.
  pose proof (mamba_keeps_within m U Hm HU) as Hb.
  destruct (signs _ _ Hb) as (_&Ha&_&Hd&_).
  apply exponent_le; try assumption; try lra; [now apply mamba_is_admissible| |].
  - intros k Hk. now destruct (A_range _ _ Hb k Hk).
  - intros t k Hk. now destruct (step_range _ _ Hb (u (S t)) k (Hu (S t)) Hk).
Qed.
