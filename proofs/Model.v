(** The model: the recurrence of a MambaBlock, as the paper prints it and as the code computes it.

    Paper v2, Section 3, Equations 1-3, with everything diagonal ("In practice, A, B_t, C_t and
    Δ_t are diagonal matrices"):

        x_t = Ā_t x_{t-1} + B̄_t u_t,   y_t = C_t x_t,   Ā_t = exp(Δ_t A),   B̄_t = A⁻¹ (Ā_t - I) B_t

    and in the code, with one state entry k = (channel d, n):

        x_t[d,n] = exp(Δ_t[d] A[d,n]) x_{t-1}[d,n] + g_t[d,n] B_t[n] u_t[d]
        y_t[d]   = Σ_n C_t[n] x_t[d,n] + D[d] u_t[d]
        Δ_t = softplus(W_Δ u_t + bias),  B_t = W_B u_t,  C_t = W_C u_t,  A = -exp(A_log)

    [layer] has both: Δ, B and C are any functions of the input, C a matrix over all entries, and
    [mamba_layer] is the code's. *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis.
Local Open Scope R_scope.

(** How the input enters: Euler (the released kernels) or zero-order hold (as printed). *)
Inductive discretisation := Euler | ZeroOrderHold.

Definition gain (hold : discretisation) (delta a : R) : R :=
  match hold with
  | Euler => delta
  | ZeroOrderHold => (exp (delta * a) - 1) / a
  end.

Record layer := Layer {
  width : nat;                  (** state entries k *)
  inputs : nat;                 (** entries of u_t *)
  outputs : nat;                (** entries of y_t *)
  hold : discretisation;
  A : vec;                      (** the diagonal of A *)
  step_size : vec -> vec;       (** Δ_t as a function of u_t *)
  inward : vec -> vec;          (** B_t as a function of u_t *)
  outward : vec -> mat;         (** C_t as a function of u_t: output, entry *)
  skip : vec;                   (** D; the paper's Equation 2 has none, which is D = 0 *)
  drive : nat -> nat            (** which entry of u_t drives state entry k *)
}.

Definition A_bar (l : layer) (u : vec) : vec := fun k => exp (step_size l u k * A l k).
Definition B_bar (l : layer) (u : vec) : vec :=
  fun k => gain (hold l) (step_size l u k) (A l k) * inward l u k.

(** Equation 3: x_t = F(x_{t-1}, u_t), which is Equation 1. *)
Definition F (l : layer) (x u : vec) : vec := fun k => A_bar l u k * x k + B_bar l u k * u (drive l k).

(** x_t from x_0 and u_1 .. u_t; [u 0] is never read. *)
Fixpoint state (l : layer) (x0 : vec) (u : nat -> vec) (t : nat) : vec :=
  match t with O => x0 | S s => F l (state l x0 u s) (u (S s)) end.

(** Equation 2: y_t from x_t and u_t. *)
Definition read_out (l : layer) (x u : vec) : vec :=
  fun c => sum (width l) (fun k => outward l u c k * x k) + skip l c * u c.

Definition output (l : layer) (x0 : vec) (u : nat -> vec) (t : nat) : vec :=
  read_out l (state l x0 u t) (u t).

(** Inputs from time t on: [later t u] 1 is u_{t+1}. *)
Definition later (t : nat) (u : nat -> vec) : nat -> vec := fun s => u (t + s)%nat.

(** Δ_1[k] + ... + Δ_T[k]. *)
Definition elapsed (l : layer) (u : nat -> vec) (k T : nat) : R :=
  sum T (fun s => step_size l (u (S s)) k).

(** What all theorems assume of a layer: A <= 0 (Appendix B: "A ∈ R_{<=0}"; A <> 0 where the hold
    divides by it), Δ >= 0, and indices that exist. *)
Record admissible (l : layer) : Prop := {
  some_entry : (0 < width l)%nat;
  A_nonpositive : forall k, (k < width l)%nat -> A l k <= 0;
  A_divides : hold l = ZeroOrderHold -> forall k, (k < width l)%nat -> A l k <> 0;
  step_nonnegative : forall u k, (k < width l)%nat -> 0 <= step_size l u k;
  drive_exists : forall k, (k < width l)%nat -> (drive l k < inputs l)%nat;
  skip_exists : (outputs l <= inputs l)%nat
}.

(** ** The paper's layer *)

(** Everything diagonal, of size d, zero-order hold, y_t = C_t x_t: the paper's Equations 1 and 2 with
    Δ_t, B_t and C_t any functions of u_t. *)
Definition paper_layer (d : nat) (a : vec) (Delta B C : vec -> vec) : layer := {|
  width := d; inputs := d; outputs := d; hold := ZeroOrderHold; A := a;
  step_size := Delta; inward := B; outward := fun u => diagonal (C u);
  skip := fun _ => 0; drive := fun k => k
|}.

Theorem paper_equations : forall d a Delta B C x u k, (k < d)%nat ->
  let l := paper_layer d a Delta B C in
  F l x u k = exp (Delta u k * a k) * x k + / a k * (exp (Delta u k * a k) - 1) * B u k * u k /\
  read_out l x u k = C u k * x k.
Proof.
  intros d a Delta B C x u k Hk l. split.
  - unfold F, A_bar, B_bar. simpl. unfold Rdiv. ring.
  - unfold read_out. simpl. rewrite Rmult_0_l, Rplus_0_r. exact (apply_diagonal d (C u) x k Hk).
Qed.

Theorem paper_layer_is_admissible : forall d a Delta B C, (0 < d)%nat ->
  (forall k, (k < d)%nat -> a k < 0) -> (forall u k, (k < d)%nat -> 0 <= Delta u k) ->
  admissible (paper_layer d a Delta B C).
Proof.
  intros d a Delta B C Hd Ha HD. split; simpl; try assumption; try lia; intros.
  - left. now apply Ha.
  - apply Rlt_not_eq. now apply Ha.
Qed.

(** ** The code's layer *)

Record mamba := Mamba {
  channels : nat;               (** D *)
  entries : nat;                (** N, state entries a channel *)
  reads : nat;                  (** J, entries of u_t: at least D *)
  holds_by : discretisation;
  A_log : mat;                  (** channel, n *)
  W_step : mat;                 (** W_Δ: channel, j *)
  bias : vec;                   (** channel *)
  W_in : nat -> mat;            (** W_B of a channel: n, j. Mamba: the same for all channels *)
  W_out : nat -> mat;           (** W_C of a channel: n, j *)
  D_skip : vec                  (** channel *)
}.

Definition channel (m : mamba) (k : nat) : nat := (k / entries m)%nat.
Definition entry (m : mamba) (k : nat) : nat := (k mod entries m)%nat.

Definition mamba_layer (m : mamba) : layer := {|
  width := channels m * entries m;
  inputs := reads m;
  outputs := channels m;
  hold := holds_by m;
  A := fun k => - exp (A_log m (channel m k) (entry m k));
  step_size := fun u k => softplus (apply (reads m) (W_step m) u (channel m k) + bias m (channel m k));
  inward := fun u k => apply (reads m) (W_in m (channel m k)) u (entry m k);
  outward := fun u c k =>
    if Nat.eqb c (channel m k) then apply (reads m) (W_out m c) u (entry m k) else 0;
  skip := D_skip m;
  drive := channel m
|}.

Definition well_shaped (m : mamba) : Prop :=
  (0 < channels m)%nat /\ (0 < entries m)%nat /\ (channels m <= reads m)%nat.

(** The theorems' hypotheses hold of the code's layer, for all weights and inputs. *)
Theorem mamba_is_admissible : forall m, well_shaped m -> admissible (mamba_layer m).
Proof.
  intros m (Hc & He & Hr). split; simpl.
  - nia.
  - intros k _. pose proof (exp_pos (A_log m (channel m k) (entry m k))). lra.
  - intros _ k _. pose proof (exp_pos (A_log m (channel m k) (entry m k))). lra.
  - intros u k _. left. apply softplus_pos.
  - intros k Hk. unfold channel. assert (k / entries m < channels m)%nat; [|lia].
    apply Nat.div_lt_upper_bound; lia.
  - exact Hr.
Qed.

(** A sum over all entries of which those of channel [c] alone are read is a sum over n. *)
Lemma sum_of_channel : forall D N c (f : nat -> nat -> R), (0 < N)%nat ->
  sum (D * N) (fun k => if Nat.eqb c (k / N) then f (k / N)%nat (k mod N)%nat else 0) =
  if Nat.ltb c D then sum N (f c) else 0.
Proof.
  induction D as [|D IH]; intros N c f HN; [reflexivity|].
  replace (S D * N)%nat with (D * N + N)%nat by lia. rewrite sum_shift, IH by assumption.
  assert (E : forall n, (n < N)%nat -> ((D * N + n) / N = D /\ (D * N + n) mod N = n)%nat).
  { intros n Hn. rewrite Nat.add_comm, Nat.div_add, Nat.mod_add by lia.
    rewrite Nat.div_small, Nat.mod_small by assumption. lia. }
  destruct (Nat.eqb_spec c D) as [->|Hne].
  - rewrite (proj2 (Nat.ltb_ge D D)), (proj2 (Nat.ltb_lt D (S D))) by lia.
    rewrite Rplus_0_l. apply sum_ext. intros n Hn. destruct (E n Hn) as [-> ->].
    now rewrite Nat.eqb_refl.
  - rewrite (sum_zero N (fun n => if Nat.eqb c ((D * N + n) / N)
                                  then f ((D * N + n) / N)%nat ((D * N + n) mod N)%nat else 0)).
    + rewrite Rplus_0_r. destruct (Nat.ltb_spec c D), (Nat.ltb_spec c (S D)); try lia; reflexivity.
    + intros n Hn. destruct (E n Hn) as [-> ->]. now rewrite (proj2 (Nat.eqb_neq c D)).
Qed.

(** The output of the code's layer is Σ_n C_t[n] x_t[d,n] + D[d] u_t[d]. *)
Theorem mamba_output : forall m x u c, well_shaped m -> (c < channels m)%nat ->
  read_out (mamba_layer m) x u c =
  sum (entries m) (fun n => apply (reads m) (W_out m c) u n * x (c * entries m + n)%nat)
  + D_skip m c * u c.
Proof.
  intros m x u c (Hc & He & Hr) H. unfold read_out. simpl. f_equal.
  transitivity (sum (channels m * entries m) (fun k =>
    if Nat.eqb c (k / entries m) then
      apply (reads m) (W_out m c) u (k mod entries m) *
      x ((k / entries m) * entries m + k mod entries m)%nat else 0)).
  - apply sum_ext. intros k _. unfold channel, entry.
    replace (k / entries m * entries m + k mod entries m)%nat with k
      by (rewrite (Nat.div_mod k (entries m)) at 1; lia).
    destruct (Nat.eqb c (k / entries m)); lra.
  - rewrite (sum_of_channel (channels m) (entries m) c
      (fun d n => apply (reads m) (W_out m c) u n * x (d * entries m + n)%nat) He).
    now rewrite (proj2 (Nat.ltb_lt c (channels m)) H).
Qed.

(** ** The discretisations *)

(** 0 <= g <= Δ: so zero-order hold lets in no more than Euler does. *)
Lemma gain_bounds : forall h d a, a <= 0 -> (h = ZeroOrderHold -> a <> 0) -> 0 <= d ->
  0 <= gain h d a <= d.
Proof.
  intros h d a Ha Hz Hd. destruct h; simpl; [lra|]. specialize (Hz eq_refl).
  assert (Hn : 0 < - a) by lra. assert (E : (exp (d * a) - 1) / a = (1 - exp (d * a)) / - a) by (field; lra).
  rewrite E. pose proof (exp_le_1 (d * a) ltac:(nra)). pose proof (one_minus_exp_le (d * - a)).
  replace (- (d * - a)) with (d * a) in * by lra.
  split; [apply Rmult_le_pos; [lra|left; now apply Rinv_0_lt_compat]|].
  apply Rmult_le_reg_r with (- a); [assumption|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(** g has slope at most 1 in Δ. *)
Lemma gain_lipschitz : forall h d d' a, a <= 0 -> (h = ZeroOrderHold -> a <> 0) -> 0 <= d -> 0 <= d' ->
  Rabs (gain h d' a - gain h d a) <= Rabs (d' - d).
Proof.
  intros h d d' a Ha Hz Hd Hd'. destruct h; simpl; [lra|]. specialize (Hz eq_refl).
  replace ((exp (d' * a) - 1) / a - (exp (d * a) - 1) / a) with ((exp (d' * a) - exp (d * a)) * / a)
    by (field; lra).
  pose proof (exp_lipschitz (d' * a) (d * a) ltac:(nra) ltac:(nra)) as H.
  rewrite <- Rmult_minus_distr_r, Rabs_mult in H. rewrite Rabs_mult, Rabs_inv.
  assert (0 < Rabs a) by (apply Rabs_pos_lt; lra).
  apply Rmult_le_reg_r with (Rabs a); [assumption|]. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(** What a step forgets, 1 - Ā, and what it lets in, g, are of one size. *)
Lemma gain_by_forgetting : forall h d a, a < 0 -> 0 <= d ->
  gain h d a <= (1 - exp (d * a)) * (/ - a + d).
Proof.
  intros h d a Ha Hd. set (s := d * - a). assert (Hs : 0 <= s) by (unfold s; nra).
  pose proof (one_minus_exp_ge s Hs) as H. replace (- s) with (d * a) in H by (unfold s; lra).
  pose proof (exp_le_1 (d * a) ltac:(nra)).
  assert (0 < / - a) by (apply Rinv_0_lt_compat; lra).
  destruct h; simpl.
  - replace d with (s * / - a) at 1 by (unfold s; field; lra).
    replace (/ - a + d) with ((1 + s) * / - a) by (unfold s; field; lra). nra.
  - replace ((exp (d * a) - 1) / a) with ((1 - exp (d * a)) * / - a) by (field; lra). nra.
Qed.
