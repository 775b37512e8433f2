(** Vectors, matrices and their norms: functions of indices, summed over an explicit width.

    A vector of width [n] is a function [nat -> R] of which the entries 0 .. n-1 are read; a
    matrix is a function of row and column. Nothing here is about state-space models. *)

Require Import Reals Lra Lia.
Local Open Scope R_scope.

Definition vec := nat -> R.
Definition mat := nat -> nat -> R.

(** Sum of the first [n] entries, and the largest of them (of non-negative entries; 0 if none). *)
Fixpoint sum (n : nat) (f : nat -> R) : R :=
  match n with O => 0 | S m => sum m f + f m end.

Fixpoint largest (n : nat) (f : nat -> R) : R :=
  match n with O => 0 | S m => Rmax (largest m f) (f m) end.

Definition max_norm (n : nat) (v : vec) : R := largest n (fun k => Rabs (v k)).
Definition two_norm (n : nat) (v : vec) : R := sqrt (sum n (fun k => v k * v k)).

Definition apply (n : nat) (M : mat) (v : vec) : vec := fun i => sum n (fun j => M i j * v j).
Definition product (n : nat) (M M' : mat) : mat := fun i j => sum n (fun k => M i k * M' k j).
Definition diagonal (v : vec) : mat := fun i j => if Nat.eqb i j then v i else 0.
Definition identity : mat := diagonal (fun _ => 1).

(** The spectral norm of an n by n matrix: the least upper bound of |M v| over |v| <= 1. *)
Definition is_spectral_norm (n : nat) (M : mat) (s : R) : Prop :=
  is_lub (fun r => exists v, two_norm n v <= 1 /\ r = two_norm n (apply n M v)) s.

(** ** Sums *)

Lemma sum_ext : forall n f g, (forall k, (k < n)%nat -> f k = g k) -> sum n f = sum n g.
Proof.
  induction n as [|n IH]; intros f g H; simpl; [reflexivity|].
  rewrite (IH f g), (H n); auto with arith.
Qed.

Lemma sum_le : forall n f g, (forall k, (k < n)%nat -> f k <= g k) -> sum n f <= sum n g.
Proof.
  induction n as [|n IH]; intros f g H; simpl; [lra|].
  assert (sum n f <= sum n g) by (apply IH; auto with arith).
  specialize (H n ltac:(lia)). lra.
Qed.

Lemma sum_nonneg : forall n f, (forall k, (k < n)%nat -> 0 <= f k) -> 0 <= sum n f.
Proof.
  induction n as [|n IH]; intros f H; simpl; [lra|].
  assert (0 <= sum n f) by (apply IH; auto with arith).
  specialize (H n ltac:(lia)). lra.
Qed.

Lemma sum_plus : forall n f g, sum n (fun k => f k + g k) = sum n f + sum n g.
Proof. induction n as [|n IH]; intros; simpl; [|rewrite IH]; lra. Qed.

Lemma sum_minus : forall n f g, sum n (fun k => f k - g k) = sum n f - sum n g.
Proof. induction n as [|n IH]; intros; simpl; [|rewrite IH]; lra. Qed.

Lemma sum_scale : forall n c f, sum n (fun k => c * f k) = c * sum n f.
Proof. induction n as [|n IH]; intros; simpl; [|rewrite IH]; lra. Qed.

Lemma sum_scale_r : forall n c f, sum n (fun k => f k * c) = sum n f * c.
Proof. induction n as [|n IH]; intros; simpl; [|rewrite IH]; lra. Qed.

Lemma sum_const : forall n c, sum n (fun _ => c) = INR n * c.
Proof. induction n as [|n IH]; intros; simpl sum; [simpl; lra|rewrite IH, S_INR; lra]. Qed.

Lemma sum_zero : forall n f, (forall k, (k < n)%nat -> f k = 0) -> sum n f = 0.
Proof. intros n f H. rewrite (sum_ext n f (fun _ => 0) H), sum_const. lra. Qed.

Lemma sum_abs : forall n f, Rabs (sum n f) <= sum n (fun k => Rabs (f k)).
Proof.
  induction n as [|n IH]; intros; simpl; [rewrite Rabs_R0; lra|].
  eapply Rle_trans; [apply Rabs_triang|]. specialize (IH f). lra.
Qed.

(** A sum of which one entry alone is read. *)
Lemma sum_pick : forall n i c, (i < n)%nat ->
  sum n (fun k => if Nat.eqb i k then c k else 0) = c i.
Proof.
  induction n as [|n IH]; intros i c H; simpl; [lia|].
  destruct (Nat.eqb_spec i n) as [->|E].
  - rewrite sum_zero; [lra|]. intros k Hk. destruct (Nat.eqb_spec n k); [lia|reflexivity].
  - rewrite IH by lia. lra.
Qed.

Lemma sum_swap : forall n m (f : nat -> nat -> R),
  sum n (fun i => sum m (fun j => f i j)) = sum m (fun j => sum n (fun i => f i j)).
Proof.
  induction n as [|n IH]; intros m f; simpl; [symmetry; apply sum_zero; auto|].
  rewrite IH, <- sum_plus. reflexivity.
Qed.

Lemma sum_shift : forall n m f, sum (n + m) f = sum n f + sum m (fun k => f (n + k)%nat).
Proof.
  induction m as [|m IH]; intros f; simpl.
  - rewrite Nat.add_0_r. lra.
  - rewrite Nat.add_succ_r. simpl. rewrite IH. lra.
Qed.

Lemma sum_telescope : forall n f, sum n (fun k => f (S k) - f k) = f n - f O.
Proof. induction n as [|n IH]; intros; simpl; [|rewrite IH]; lra. Qed.

(** ** The largest entry *)

Lemma largest_nonneg : forall n f, 0 <= largest n f.
Proof. induction n; intros; simpl; [lra|]. eapply Rle_trans; [apply IHn|apply Rmax_l]. Qed.

Lemma largest_ge : forall n f k, (k < n)%nat -> f k <= largest n f.
Proof.
  induction n as [|n IH]; intros f k H; simpl; [lia|].
  destruct (Nat.eq_dec k n) as [->|E]; [apply Rmax_r|].
  eapply Rle_trans; [apply IH; lia|apply Rmax_l].
Qed.

Lemma largest_le : forall n f b, 0 <= b -> (forall k, (k < n)%nat -> f k <= b) -> largest n f <= b.
Proof.
  induction n as [|n IH]; intros f b Hb H; simpl; [exact Hb|].
  apply Rmax_lub; auto with arith.
Qed.

Lemma largest_attained : forall n f, (0 < n)%nat -> (forall k, (k < n)%nat -> 0 <= f k) ->
  exists k, (k < n)%nat /\ largest n f = f k.
Proof.
  induction n as [|n IH]; intros f Hn H; [lia|]. simpl.
  destruct (Nat.eq_dec n 0) as [->|E].
  - exists O. split; [lia|]. simpl. apply Rmax_right, H. lia.
  - destruct (IH f) as (k & Hk & E'); [lia|auto with arith|].
    destruct (Rle_dec (largest n f) (f n)).
    + exists n. split; [lia|]. now apply Rmax_right.
    + exists k. split; [lia|]. rewrite Rmax_left by lra. exact E'.
Qed.

Lemma max_norm_ge : forall n v k, (k < n)%nat -> Rabs (v k) <= max_norm n v.
Proof. intros. apply (largest_ge n (fun k => Rabs (v k))); assumption. Qed.

Lemma max_norm_le : forall n v b, 0 <= b -> (forall k, (k < n)%nat -> Rabs (v k) <= b) ->
  max_norm n v <= b.
Proof. intros. now apply largest_le. Qed.

Lemma max_norm_nonneg : forall n v, 0 <= max_norm n v.
Proof. intros. apply largest_nonneg. Qed.

(** ** The 2-norm *)

(** Entries that shrink by a factor of at most [c] shrink the norm by at most [c]. *)
Lemma two_norm_scaled : forall n v w c, 0 <= c ->
  (forall k, (k < n)%nat -> Rabs (w k) <= c * Rabs (v k)) -> two_norm n w <= c * two_norm n v.
Proof.
  intros n v w c Hc H. unfold two_norm.
  rewrite <- (sqrt_square c Hc) at 1.
  rewrite <- sqrt_mult_alt by nra.
  apply sqrt_le_1_alt. rewrite <- sum_scale. apply sum_le. intros k Hk.
  specialize (H k Hk). pose proof (Rabs_pos (w k)). pose proof (Rabs_pos (v k)).
  assert (Ew : w k * w k = Rabs (w k) * Rabs (w k)) by (rewrite <- Rabs_mult; symmetry; apply Rabs_pos_eq; nra).
  assert (Ev : v k * v k = Rabs (v k) * Rabs (v k)) by (rewrite <- Rabs_mult; symmetry; apply Rabs_pos_eq; nra).
  rewrite Ew, Ev. nra.
Qed.

Lemma two_norm_const : forall n e, two_norm n (fun _ => e) = sqrt (INR n) * Rabs e.
Proof.
  intros n e. unfold two_norm. rewrite sum_const, sqrt_mult_alt by apply pos_INR.
  f_equal. rewrite <- sqrt_Rsqr_abs. reflexivity.
Qed.

(** The norm of a unit vector is 1. *)
Lemma two_norm_unit : forall n i, (i < n)%nat ->
  two_norm n (fun k => if Nat.eqb i k then 1 else 0) = 1.
Proof.
  intros n i H. unfold two_norm.
  rewrite (sum_ext n _ (fun k => if Nat.eqb i k then 1 else 0)).
  - rewrite (sum_pick n i (fun _ => 1) H). apply sqrt_1.
  - intros k _. destruct (Nat.eqb i k); lra.
Qed.

Lemma two_norm_ge : forall n v k, (k < n)%nat -> Rabs (v k) <= two_norm n v.
Proof.
  intros n v k H. unfold two_norm. rewrite <- sqrt_Rsqr_abs. apply sqrt_le_1_alt. unfold Rsqr.
  rewrite <- (sum_pick n k (fun k => v k * v k) H). apply sum_le. intros j _.
  destruct (Nat.eqb k j); nra.
Qed.

Lemma two_norm_le_sqrt_max : forall n v, two_norm n v <= sqrt (INR n) * max_norm n v.
Proof.
  intros n v.
  assert (H : two_norm n v <= 1 * two_norm n (fun _ => max_norm n v)).
  { apply two_norm_scaled; [lra|]. intros k Hk. rewrite Rmult_1_l.
    rewrite (Rabs_pos_eq (max_norm n v)) by apply max_norm_nonneg. now apply max_norm_ge. }
  rewrite two_norm_const, Rabs_pos_eq in H by apply max_norm_nonneg. lra.
Qed.

(** ** Matrices *)

Lemma apply_diagonal : forall n v w i, (i < n)%nat -> apply n (diagonal v) w i = v i * w i.
Proof.
  intros n v w i H. unfold apply, diagonal.
  rewrite <- (sum_pick n i (fun j => v j * w j) H). apply sum_ext. intros j _.
  destruct (Nat.eqb_spec i j) as [->|]; lra.
Qed.

Lemma product_diagonal : forall n v M i j, (i < n)%nat ->
  product n (diagonal v) M i j = v i * M i j.
Proof. intros. exact (apply_diagonal n v (fun k => M k j) i H). Qed.

Lemma apply_ext : forall n M M' v i,
  (forall j, (j < n)%nat -> M i j = M' i j) -> apply n M v i = apply n M' v i.
Proof. intros n M M' v i H. apply sum_ext. intros j Hj. now rewrite H. Qed.

Lemma two_norm_ext : forall n v w, (forall k, (k < n)%nat -> v k = w k) ->
  two_norm n v = two_norm n w.
Proof. intros n v w H. unfold two_norm. f_equal. apply sum_ext. intros k Hk. now rewrite H. Qed.

(** The spectral norm of a diagonal matrix is the largest absolute value on its diagonal. *)
Lemma spectral_norm_diagonal : forall n M v, (0 < n)%nat ->
  (forall i j, (i < n)%nat -> (j < n)%nat -> M i j = diagonal v i j) ->
  is_spectral_norm n M (max_norm n v).
Proof.
  intros n M v Hn HM.
  assert (E : forall w i, (i < n)%nat -> apply n M w i = v i * w i).
  { intros w i Hi. rewrite (apply_ext n M (diagonal v) w i) by auto. now apply apply_diagonal. }
  split.
  - intros r (w & Hw & ->).
    apply Rle_trans with (max_norm n v * two_norm n w).
    + apply two_norm_scaled; [apply max_norm_nonneg|]. intros k Hk.
      rewrite E, Rabs_mult by assumption.
      apply Rmult_le_compat_r; [apply Rabs_pos|now apply max_norm_ge].
    + pose proof (max_norm_nonneg n v). nra.
  - intros b Hb.
    destruct (largest_attained n (fun k => Rabs (v k)) Hn) as (i & Hi & Ei); [intros; apply Rabs_pos|].
    unfold max_norm. rewrite Ei.
    set (e := fun k => if Nat.eqb i k then 1 else 0).
    apply Rle_trans with (two_norm n (apply n M e)).
    + eapply Rle_trans; [|apply (two_norm_ge n _ i Hi)].
      rewrite E by assumption. unfold e. rewrite Nat.eqb_refl, Rmult_1_r. lra.
    + apply Hb. exists e. split; [|reflexivity]. unfold e. rewrite two_norm_unit by assumption. lra.
Qed.

Lemma spectral_norm_unique : forall n M s s',
  is_spectral_norm n M s -> is_spectral_norm n M s' -> s = s'.
Proof. intros n M s s' H H'. eapply is_lub_u; eassumption. Qed.
