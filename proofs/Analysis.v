(** The exponential, softplus and limits: what the theorems need of them and no more. *)

Require Import Reals Lra Lia Psatz.
Require Import Lyapunov.Vectors.
Local Open Scope R_scope.

Lemma abs_between : forall x b, Rabs x <= b -> - b <= x <= b.
Proof.
  intros x b H. pose proof (Rle_abs x). pose proof (Rle_abs (- x)). rewrite Rabs_Ropp in *. lra.
Qed.

(** ** The exponential of what is not positive *)

Lemma exp_le_1 : forall x, x <= 0 -> exp x <= 1.
Proof. intros x [H| ->]; rewrite <- exp_0; [left; now apply exp_increasing|lra]. Qed.

Lemma exp_mono : forall x y, x <= y -> exp x <= exp y.
Proof. intros x y [H| ->]; [left; now apply exp_increasing|lra]. Qed.

Lemma exp_ge_line : forall x, 1 + x <= exp x.
Proof.
  intros x. destruct (Req_dec x 0) as [->|H]; [rewrite exp_0; lra|left; now apply exp_ineq1].
Qed.

(** 1 - exp(-s) lies between s/(1+s) and s. *)
Lemma one_minus_exp_le : forall s, 1 - exp (- s) <= s.
Proof. intros s. pose proof (exp_ge_line (- s)). lra. Qed.

Lemma one_minus_exp_ge : forall s, 0 <= s -> s <= (1 - exp (- s)) * (1 + s).
Proof.
  intros s H. pose proof (exp_ge_line s). pose proof (exp_pos (- s)).
  assert (E : exp (- s) * exp s = 1) by (rewrite <- exp_plus, <- exp_0; f_equal; lra).
  nra.
Qed.

(** exp has slope at most 1 where it is at most 1. *)
Lemma exp_lipschitz : forall x y, x <= 0 -> y <= 0 -> Rabs (exp x - exp y) <= Rabs (x - y).
Proof.
  assert (one_way : forall x y, x <= y -> y <= 0 -> exp y - exp x <= y - x).
  { intros x y Hxy Hy.
    assert (E : exp x = exp y * exp (- (y - x))) by (rewrite <- exp_plus; f_equal; lra).
    pose proof (one_minus_exp_le (y - x)). pose proof (exp_le_1 y Hy). pose proof (exp_pos y).
    rewrite E. nra. }
  intros x y Hx Hy. destruct (Rle_dec x y).
  - rewrite !Rabs_left1; [|lra|pose proof (exp_mono x y); lra]. pose proof (one_way x y). lra.
  - rewrite !Rabs_pos_eq; [|lra|pose proof (exp_mono y x); lra]. pose proof (one_way y x). lra.
Qed.

Lemma exp_times_nat : forall n x, exp (INR n * x) = exp x ^ n.
Proof.
  induction n as [|n IH]; intros x; [simpl; rewrite Rmult_0_l; apply exp_0|].
  rewrite S_INR. simpl. rewrite <- IH, <- exp_plus. f_equal. lra.
Qed.

Lemma ln_mono : forall x y, 0 < x -> x <= y -> ln x <= ln y.
Proof. intros x y H [H1| ->]; [left; now apply ln_increasing|lra]. Qed.

Lemma ln_le_line : forall x, 0 < x -> ln x <= x - 1.
Proof. intros x H. pose proof (exp_ge_line (ln x)). rewrite exp_ln in *; lra. Qed.

(** ** Softplus *)

Definition softplus (x : R) : R := ln (1 + exp x).

Lemma softplus_pos : forall x, 0 < softplus x.
Proof.
  intros x. unfold softplus. rewrite <- ln_1 at 1. pose proof (exp_pos x).
  apply ln_increasing; lra.
Qed.

Lemma softplus_mono : forall x y, x <= y -> softplus x <= softplus y.
Proof.
  intros x y H. unfold softplus. pose proof (exp_pos x). pose proof (exp_mono x y H).
  apply ln_mono; lra.
Qed.

Lemma softplus_lipschitz : forall x y, Rabs (softplus x - softplus y) <= Rabs (x - y).
Proof.
  assert (one_way : forall x y, x <= y -> softplus y - softplus x <= y - x).
  { intros x y H. unfold softplus. pose proof (exp_pos x). pose proof (exp_pos y).
    assert (ln (1 + exp y) <= ln (exp (y - x) * (1 + exp x))).
    { apply ln_mono; [lra|].
      assert (exp (y - x) * exp x = exp y) by (rewrite <- exp_plus; f_equal; lra).
      pose proof (exp_ge_line (y - x)). nra. }
    rewrite ln_mult, ln_exp in * by (try apply exp_pos; lra). lra. }
  intros x y. destruct (Rle_dec x y).
  - rewrite !Rabs_left1; [|lra|pose proof (softplus_mono x y); lra]. pose proof (one_way x y). lra.
  - rewrite !Rabs_pos_eq; [|lra|pose proof (softplus_mono y x); lra].
    pose proof (one_way y x). lra.
Qed.

(** Softplus takes every positive value. *)
Definition softplus_inverse (y : R) : R := ln (exp y - 1).

Lemma softplus_of_inverse : forall y, 0 < y -> softplus (softplus_inverse y) = y.
Proof.
  intros y H. unfold softplus, softplus_inverse. pose proof (exp_ineq1 y ltac:(lra)).
  rewrite exp_ln by lra. replace (1 + (exp y - 1)) with (exp y) by lra. apply ln_exp.
Qed.

(** ** Limits *)

(** [L] is the limit superior of [f] (a real one; the limit superior may also be -infinity). *)
Definition is_limsup (f : nat -> R) (L : R) : Prop :=
  forall e, 0 < e ->
    (exists N, forall n, (N <= n)%nat -> f n < L + e) /\
    (forall N, exists n, (N <= n)%nat /\ L - e < f n).

Lemma limsup_le : forall f L b N0, is_limsup f L -> (forall n, (N0 <= n)%nat -> f n <= b) -> L <= b.
Proof.
  intros f L b N0 HL Hb. apply Rnot_lt_le. intros H.
  destruct (HL ((L - b) / 2) ltac:(lra)) as [_ H2]. destruct (H2 N0) as (n & Hn & Hf).
  specialize (Hb n Hn). lra.
Qed.

Lemma limit_is_limsup : forall f L, Un_cv f L -> is_limsup f L.
Proof.
  intros f L H e He. destruct (H e He) as [N HN]. unfold R_dist in HN. split.
  - exists N. intros n Hn. specialize (HN n Hn). apply Rabs_def2 in HN. lra.
  - intros M. exists (max N M). split; [lia|].
    specialize (HN (max N M) ltac:(lia)). apply Rabs_def2 in HN. lra.
Qed.

Lemma limit_le : forall f L b N0, Un_cv f L -> (forall n, (N0 <= n)%nat -> f n <= b) -> L <= b.
Proof. intros. eapply limsup_le; [apply limit_is_limsup|]; eassumption. Qed.

(** Two subsequences that stay apart leave no limit. *)
Lemma apart_no_limit : forall f low high, low < high ->
  (forall N, exists n, (N <= n)%nat /\ f n <= low) ->
  (forall N, exists n, (N <= n)%nat /\ high <= f n) -> forall L, ~ Un_cv f L.
Proof.
  intros f low high H Hlow Hhigh L HL.
  destruct (HL ((high - low) / 2) ltac:(lra)) as [N HN]. unfold R_dist in HN.
  destruct (Hlow N) as (n & Hn & Fn). destruct (Hhigh N) as (m & Hm & Fm).
  pose proof (Rabs_def2 _ _ (HN n Hn)). pose proof (Rabs_def2 _ _ (HN m Hm)). lra.
Qed.

Lemma nat_above : forall x, exists n, x < INR n /\ (0 < n)%nat.
Proof.
  intros x. exists (S (Z.to_nat (up x))). split; [|lia].
  rewrite S_INR, INR_IZR_INZ. destruct (archimed x) as [H _].
  assert (IZR (up x) <= IZR (Z.of_nat (Z.to_nat (up x)))) by (apply IZR_le; lia). lra.
Qed.

(** c/n -> 0, in the form that the limits below need. *)
Lemma eventually_small : forall c e, 0 <= c -> 0 < e ->
  exists N, (0 < N)%nat /\ forall n, (N <= n)%nat -> c < e * INR n.
Proof.
  intros c e Hc He. destruct (nat_above (c / e)) as (N & HN & Hpos). exists N. split; [assumption|].
  intros n Hn. apply le_INR in Hn.
  assert (c = e * (c / e)) by (field; lra). nra.
Qed.

(** Stays within c/n of L: converges to L. *)
Lemma limit_by_rate : forall f L c, 0 <= c ->
  (forall n, (0 < n)%nat -> Rabs (f n - L) <= c / INR n) -> Un_cv f L.
Proof.
  intros f L c Hc H e He. destruct (eventually_small c e Hc He) as (N & HN & Hsmall).
  exists N. intros n Hn. unfold R_dist. unfold ge in Hn.
  assert (0 < INR n) by (apply lt_0_INR; lia).
  eapply Rle_lt_trans; [apply H; lia|]. apply Rmult_lt_reg_r with (INR n); [assumption|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. specialize (Hsmall n Hn). lra.
Qed.
