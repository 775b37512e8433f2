(** Theorem 3: LoRA on the stacked projection ties the adapters of its blocks.

    Paper v2, Section 3.2, Equation 4 and Theorem 3; proof in Appendix A: "Targeting W for LoRA during
    fine-tuning ties adaptation weights across B_t, C_t and Δ_t", W ∈ R^{T x 3d} holding diag(Δ_t),
    diag(B_t), diag(C_t) side by side in row t - 1, W~ = W + U V, U ∈ R^{n x r}, V ∈ R^{r x 3d};
    "the weights U[t-1, :] are tied for any parameter W~[t-1, j], j ∈ {1, ..., 3d}".

    What "tied" means, precisely:

    - as printed: the changes of Δ_t, B_t and C_t are Σ_k w[k] V[k, j] with one and the same r-vector
      w = U[t-1, :] for all 3d entries ([theorem3_as_printed]);
    - of the weight that the code has (x_proj.weight, in_proj.weight: rows are outputs, in blocks for Δ, B
      and C; the paper's W is what it puts out over time): every row of the change, of whatever block, is
      a combination of the same r rows of V; what the projection adds to its output is, in each block,
      that block's rows of U times one r-vector V x; gradients pass through the same space; and any r + 1
      rows are linearly dependent, across blocks ([theorem3_rows], [theorem3_outputs],
      [theorem3_gradients], [theorem3_rank]).

    All widths and all ranks. It does not mean that changes are equal ([tied_is_not_equal]); it is no
    constraint at all where r is at least the number of rows ([full_rank_ties_nothing]); and it does need
    the one adapter: an adapter of rank r for each of three blocks leaves every r-dimensional space
    ([separate_adapters_are_not_tied]). Nothing in it is about Mamba: it holds of any stacked
    projection. *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors.
Local Open Scope R_scope.

(** W' = U V, with r the LoRA dimension. *)
Definition lora (r : nat) (U V : mat) : mat := fun i j => sum r (fun k => U i k * V k j).

(** [row] is a combination of the first [r] rows of [V] on [columns] columns. *)
Definition in_row_space (r columns : nat) (V : mat) (row : vec) : Prop :=
  exists w : vec, forall j, (j < columns)%nat -> row j = sum r (fun k => w k * V k j).

(** ** As printed *)

(** Row t - 1 of W: Δ_t in columns 0..d-1, B_t in d..2d-1, C_t in 2d..3d-1 (Equation 4). *)
Theorem theorem3_as_printed : forall d r (W U V : mat) t, (0 < t)%nat ->
  let W' := fun i j => W i j + lora r U V i j in
  exists w : vec, (forall k, w k = U (t - 1)%nat k) /\
    (forall j, (j < d)%nat -> W' (t - 1)%nat j - W (t - 1)%nat j = sum r (fun k => w k * V k j)) /\
    (forall j, (j < d)%nat ->
       W' (t - 1)%nat (d + j)%nat - W (t - 1)%nat (d + j)%nat = sum r (fun k => w k * V k (d + j)%nat)) /\
    (forall j, (j < d)%nat ->
       W' (t - 1)%nat (2 * d + j)%nat - W (t - 1)%nat (2 * d + j)%nat
       = sum r (fun k => w k * V k (2 * d + j)%nat)).
Proof.
  intros d r W U V t _ W'. exists (U (t - 1)%nat). unfold W', lora. repeat split; intros; ring.
Qed.

(** ** Of the stacked weight *)

(** Every row of the change lies in the row space of the one V, whichever block it belongs to. *)
Theorem theorem3_rows : forall r columns U V i, in_row_space r columns V (lora r U V i).
Proof. intros. exists (U i). reflexivity. Qed.

(** What the adapted projection adds to its output: row i of U times one r-vector V x. *)
Theorem theorem3_outputs : forall r columns (W U V : mat) x i,
  apply columns (fun i j => W i j + lora r U V i j) x i - apply columns W x i
  = sum r (fun k => U i k * apply columns V x k).
Proof.
  intros r columns W U V x i. unfold apply. rewrite <- sum_minus.
  rewrite (sum_ext columns _ (fun j => sum r (fun k => U i k * (V k j * x j)))).
  - rewrite sum_swap. apply sum_ext. intros k _. now rewrite sum_scale.
  - intros j _. unfold lora.
    replace ((W i j + sum r (fun k => U i k * V k j)) * x j - W i j * x j)
      with (sum r (fun k => U i k * V k j) * x j) by ring.
    rewrite <- sum_scale_r. apply sum_ext. intros k _. ring.
Qed.

(** <G, H> = Σ_ij G[i,j] H[i,j]. *)
Definition inner (rows columns : nat) (G H : mat) : R :=
  sum rows (fun i => sum columns (fun j => G i j * H i j)).

(** Gradients. Let the loss change by <G, δ> to first order when the weight changes by δ. Then its
    gradients with respect to U and V are G V^T and U^T G, and a step -η G V^T of U changes the weight by
    rows that lie in the row space of V: all blocks', for any G. The gradient of V adds up the rows of all
    blocks. *)
Theorem theorem3_gradients : forall rows columns r (U V G : mat),
  let gradient_U := fun i k => sum columns (fun j => G i j * V k j) in
  let gradient_V := fun k j => sum rows (fun i => U i k * G i j) in
  (forall U', inner rows columns G (lora r U' V) = inner rows r gradient_U U') /\
  (forall V', inner rows columns G (lora r U V') = inner r columns gradient_V V') /\
  (forall eta i, in_row_space r columns V (lora r (fun i k => - eta * gradient_U i k) V i)).
Proof.
  intros rows columns r U V G gU gV. split; [|split].
  - intros U'. apply sum_ext. intros i _. unfold lora, gU.
    rewrite (sum_ext columns _ (fun j => sum r (fun k => G i j * (U' i k * V k j))))
      by (intros; now rewrite sum_scale).
    rewrite sum_swap. apply sum_ext. intros k _. rewrite <- sum_scale_r. apply sum_ext. intros. ring.
  - intros V'. unfold inner, lora, gV.
    rewrite (sum_ext rows _ (fun i => sum r (fun k => sum columns (fun j => U i k * G i j * V' k j)))).
    + rewrite sum_swap. apply sum_ext. intros k _. rewrite sum_swap. apply sum_ext. intros j _.
      apply sum_scale_r.
    + intros i _. rewrite (sum_ext columns _ (fun j => sum r (fun k => U i k * G i j * V' k j))).
      * apply sum_swap.
      * intros j _. rewrite <- sum_scale. apply sum_ext. intros. ring.
  - intros eta i. apply theorem3_rows.
Qed.

(** ** Rank: r + 1 rows of one r-dimensional space are linearly dependent *)

Lemma all_zero_or_not : forall n (f : nat -> R),
  (forall k, (k < n)%nat -> f k = 0) \/ (exists k, (k < n)%nat /\ f k <> 0).
Proof.
  induction n as [|n IH]; intros f; [left; lia|].
  destruct (IH f) as [H|(k & Hk & Hf)]; [|right; exists k; auto with arith].
  destruct (Req_dec (f n) 0) as [E|E]; [left|right; exists n; auto with arith].
  intros k Hk. destruct (Nat.eq_dec k n) as [->|]; [exact E|apply H; lia].
Qed.

(** r equations in r + 1 unknowns have a solution that is not 0: by elimination. *)
Lemma homogeneous_system : forall r (M : mat), exists c : vec,
  (exists i, (i < S r)%nat /\ c i <> 0) /\ forall k, (k < r)%nat -> sum (S r) (fun i => M k i * c i) = 0.
Proof.
  induction r as [|r IH]; intros M.
  { exists (fun _ => 1). split; [exists O; split; [lia|lra]|]. intros; lia. }
  destruct (all_zero_or_not (S r) (fun k => M k (S r))) as [H|(k0 & Hk0 & Hp)].
  - (* the last unknown occurs in no equation *)
    exists (fun i => if Nat.eqb (S r) i then 1 else 0). split.
    + exists (S r). rewrite Nat.eqb_refl. split; [lia|lra].
    + intros k Hk. rewrite (sum_ext _ _ (fun i => if Nat.eqb (S r) i then M k i else 0)).
      * rewrite (sum_pick (S (S r)) (S r) (M k)) by lia. now apply H.
      * intros i _. destruct (Nat.eqb (S r) i); ring.
  - (* equation k0 gives the last unknown; the r others are left *)
    set (p := M k0 (S r)) in *. set (others := fun k => if Nat.eqb k k0 then r else k).
    destruct (IH (fun k i => M (others k) i - M (others k) (S r) / p * M k0 i)) as (c & (i0 & Hi0 & Hc0) & Hc).
    set (z := - / p * sum (S r) (fun i => M k0 i * c i)).
    exists (fun i => if Nat.eqb i (S r) then z else c i).
    assert (Hsplit : forall k, sum (S (S r)) (fun i => M k i * (if Nat.eqb i (S r) then z else c i))
      = sum (S r) (fun i => M k i * c i) + M k (S r) * z).
    { intros k. change (sum (S r) (fun i => M k i * (if Nat.eqb i (S r) then z else c i))
        + M k (S r) * (if Nat.eqb (S r) (S r) then z else c (S r))
        = sum (S r) (fun i => M k i * c i) + M k (S r) * z).
      rewrite Nat.eqb_refl. f_equal. apply sum_ext. intros i Hi.
      destruct (Nat.eqb_spec i (S r)); [lia|reflexivity]. }
    split.
    + exists i0. split; [lia|]. destruct (Nat.eqb_spec i0 (S r)); [lia|assumption].
    + assert (Hothers : forall k, (k < r)%nat ->
        sum (S r) (fun i => M (others k) i * c i) + M (others k) (S r) * z = 0).
      { intros k Hk. specialize (Hc k Hk).
        rewrite (sum_ext (S r) _ (fun i => M (others k) i * c i - M (others k) (S r) / p * (M k0 i * c i)))
          in Hc by (intros; ring).
        rewrite sum_minus, sum_scale in Hc. unfold z. unfold Rdiv in Hc. lra. }
      intros k Hk. rewrite Hsplit. destruct (Nat.eq_dec k k0) as [->|Hne].
      * fold p. unfold z. field. exact Hp.
      * destruct (Nat.eq_dec k r) as [->|Hkr].
        -- specialize (Hothers k0 ltac:(lia)). unfold others in Hothers. rewrite Nat.eqb_refl in Hothers.
           exact Hothers.
        -- specialize (Hothers k ltac:(lia)). unfold others in Hothers.
           rewrite (proj2 (Nat.eqb_neq k k0) Hne) in Hothers. exact Hothers.
Qed.

Lemma dependent_in_row_space : forall r columns V (row : nat -> vec),
  (forall i, (i < S r)%nat -> in_row_space r columns V (row i)) ->
  exists c : vec, (exists i, (i < S r)%nat /\ c i <> 0) /\
    forall j, (j < columns)%nat -> sum (S r) (fun i => c i * row i j) = 0.
Proof.
  intros r columns V row H.
  assert (Hw : exists w : nat -> vec, forall i, (i < S r)%nat -> forall j, (j < columns)%nat ->
    row i j = sum r (fun k => w i k * V k j)).
  { clear -H. induction (S r) as [|n IH]; [exists (fun _ _ => 0); intros; lia|].
    destruct IH as (w & Hw); [intros i Hi; apply H; lia|]. destruct (H n ltac:(lia)) as (wn & Hwn).
    exists (fun i => if Nat.eqb i n then wn else w i). intros i Hi j Hj.
    destruct (Nat.eqb_spec i n) as [->|]; [now apply Hwn|apply Hw; [lia|assumption]]. }
  destruct Hw as (w & Hw). destruct (homogeneous_system r (fun k i => w i k)) as (c & Hnz & Hc).
  exists c. split; [assumption|]. intros j Hj.
  rewrite (sum_ext (S r) _ (fun i => sum r (fun k => V k j * (w i k * c i)))).
  - rewrite sum_swap. apply sum_zero. intros k Hk. rewrite sum_scale, Hc by assumption. ring.
  - intros i Hi. rewrite (Hw i Hi j Hj), <- sum_scale. apply sum_ext. intros. ring.
Qed.

(** Any r + 1 rows of the change, of whatever blocks, are linearly dependent: its rank is at most r. *)
Theorem theorem3_rank : forall r columns U V (pick : nat -> nat),
  exists c : vec, (exists i, (i < S r)%nat /\ c i <> 0) /\
    forall j, (j < columns)%nat -> sum (S r) (fun i => c i * lora r U V (pick i) j) = 0.
Proof. intros. apply dependent_in_row_space with (V := V). intros. apply theorem3_rows. Qed.

(** ** What "tied" does not mean *)

(** Counterexample to equality, the weight tying of the paper's reference [42]: with d = 1 and r = 1 the
    changes of Δ_1, B_1 and C_1 may be 1, 2 and 3. *)
Theorem tied_is_not_equal : exists U V : mat,
  lora 1 U V O 0%nat = 1 /\ lora 1 U V O 1%nat = 2 /\ lora 1 U V O 2%nat = 3.
Proof. exists (fun _ _ => 1), (fun _ j => INR j + 1). unfold lora. simpl. lra. Qed.

(** With r at least the number of rows every change is of this form: nothing is tied. *)
Theorem full_rank_ties_nothing : forall rows r (W' : mat), (rows <= r)%nat -> exists U V,
  forall i j, (i < rows)%nat -> lora r U V i j = W' i j.
Proof.
  intros rows r W' H. exists identity, W'. intros i j Hi. unfold lora, identity, diagonal.
  rewrite (sum_ext r _ (fun k => if Nat.eqb i k then W' k j else 0)).
  - apply (sum_pick r i (fun k => W' k j)). lia.
  - intros k _. destruct (Nat.eqb i k); ring.
Qed.

(** Control: three blocks of r rows, each with its own adapter U_b V_b of rank r. For some U_b, V_b no one
    r-dimensional space holds all rows. (Here the stacked change is the identity of size 3 r.) *)
Theorem separate_adapters_are_not_tied : forall r, (0 < r)%nat ->
  exists (U V : nat -> mat),
    let row := fun i => lora r (U (i / r)%nat) (V (i / r)%nat) (i mod r)%nat in
    ~ exists V0, forall i, (i < 3 * r)%nat -> in_row_space r (3 * r) V0 (row i).
Proof.
  intros r Hr. exists (fun _ => identity), (fun b k j => if Nat.eqb j (b * r + k) then 1 else 0). intros row.
  assert (Hrow : forall i j, row i j = if Nat.eqb i j then 1 else 0).
  { intros i j. unfold row, lora, identity, diagonal.
    rewrite (sum_ext r _ (fun k => if Nat.eqb (i mod r) k then
      (if Nat.eqb j (i / r * r + k) then 1 else 0) else 0))
      by (intros k _; destruct (Nat.eqb (i mod r) k); ring).
    rewrite (sum_pick r (i mod r) (fun k => if Nat.eqb j (i / r * r + k) then 1 else 0))
      by (apply Nat.mod_upper_bound; lia).
    replace (i / r * r + i mod r)%nat with i by (rewrite (Nat.div_mod i r) at 1; lia).
    now rewrite Nat.eqb_sym. }
  intros (V0 & H).
  destruct (dependent_in_row_space r (3 * r) V0 row) as (c & (i & Hi & Hci) & Hc); [intros; apply H; lia|].
  apply Hci. rewrite <- (Hc i ltac:(lia)), <- (sum_pick (S r) i c Hi).
  apply sum_ext. intros k _. rewrite Hrow, Nat.eqb_sym. destruct (Nat.eqb k i); ring.
Qed.
