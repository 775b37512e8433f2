(** What the proof of Lemma 1 leaves out: the limit need not exist, the dimension i depends on T, and
    a bound by exp(Nλ) does not follow from λ being a limit.

    Paper v2, Appendix B, proof of Lemma 1: "Let i be the dimension which corresponds to the output
    of the spectral norm, i.e., i = argmax_j {exp Σ_t (Δ_t[j,j] A[j,j])}. We thus have
    λ_max = ... = A[i,i] lim (1/T) Σ_t Δ_t[i,i]"; and Section 3.1: the maximum deviation "grows as
    max |F^N(...) - F^N(...)| ∈ O(ε exp(N λ_max))".

    All layers here are the code's, with inputs in the set |u_t[j]| <= 3. *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis Lyapunov.Model Lyapunov.Constants Lyapunov.Lemma1.
Require Import Lyapunov.Theorem1 Lyapunov.Examples.
Local Open Scope R_scope.

(** ** A sequence that rises and falls on blocks [2^m, 2^(m+1)) of doubling length *)

(** 0, 1, ..., 2^(m-1), ..., 1 on the block; on every other block only ([e] says which). *)
Definition tent (t : nat) : nat := Nat.min (t - 2 ^ Nat.log2 t) (2 ^ S (Nat.log2 t) - t).
Definition bump (e : bool) (t : nat) : nat :=
  if Bool.eqb (Nat.even (Nat.log2 t)) e then tent t else O.

Lemma bump_moves_by_1 : forall e t, (bump e (S t) <= bump e t + 1 /\ bump e t <= bump e (S t) + 1)%nat.
Proof.
  intros e [|t]; [destruct e; cbv; lia|]. set (s := S t). assert (Hs : (0 < s)%nat) by (unfold s; lia).
  pose proof (Nat.log2_spec s Hs) as [H1 H2]. pose proof (Nat.log2_spec (S s) ltac:(lia)) as [H3 H4].
  pose proof (Nat.log2_succ_or s) as [E|E]; unfold bump, tent; rewrite E in *.
  - assert (HS : (S s = 2 ^ S (Nat.log2 s))%nat) by lia. rewrite HS.
    simpl Nat.even. simpl (2 ^ S (S _))%nat.
    destruct (Bool.eqb _ e), (Bool.eqb _ e); lia.
  - destruct (Bool.eqb (Nat.even (Nat.log2 s)) e); lia.
Qed.

(** At 2^m the bump is 0; at 3 · 2^n, the middle of the block of n + 1, it is 2^n if on. *)
Lemma bump_at_power : forall e m, bump e (2 ^ m) = O.
Proof.
  intros e m. unfold bump, tent. rewrite Nat.log2_pow2 by lia. rewrite Nat.sub_diag.
  destruct (Bool.eqb _ e); reflexivity.
Qed.

Lemma bump_at_middle : forall e n, Nat.even (S n) = e -> bump e (3 * 2 ^ n) = (2 ^ n)%nat.
Proof.
  intros e n H. assert (0 < 2 ^ n)%nat by (apply Nat.neq_0_lt_0, Nat.pow_nonzero; lia).
  assert (E : Nat.log2 (3 * 2 ^ n) = S n) by (apply Nat.log2_unique; simpl; lia).
  unfold bump, tent. rewrite E, H. simpl. destruct e; simpl; lia.
Qed.

Lemma one_bump_is_off : forall t, bump true t = O \/ bump false t = O.
Proof. intros t. unfold bump. destruct (Nat.even (Nat.log2 t)); simpl; auto. Qed.

(** Late times of either kind. *)

Lemma late_power : forall N, (N <= 2 ^ N)%nat.
Proof. intros N. pose proof (Nat.pow_gt_lin_r 2 N ltac:(lia)). lia. Qed.

Lemma late_middle : forall e N, exists n, (N <= 3 * 2 ^ n)%nat /\ Nat.even (S n) = e.
Proof.
  intros e N. pose proof (late_power N). pose proof (late_power (S N)).
  assert (2 ^ N <= 2 ^ S N)%nat by (simpl; lia).
  destruct (Bool.bool_dec (Nat.even (S N)) e) as [E|E]; [exists N|exists (S N)]; split; try lia; try exact E.
  rewrite Nat.even_succ, <- Nat.negb_even. destruct (Nat.even (S N)), e; simpl in *; congruence.
Qed.

(** ** Step sizes whose sum over T steps is 2 T plus a bump; they lie between 1 and 3 *)

Definition bumpy (e : nat -> bool) (k t : nat) : R := 2 + INR (bump (e k) t) - INR (bump (e k) (t - 1)).

Lemma bumpy_range : forall e k t, 1 <= bumpy e k (S t) <= 3.
Proof.
  intros e k t. unfold bumpy. rewrite Nat.sub_succ, Nat.sub_0_r.
  destruct (bump_moves_by_1 (e k) t) as [H1 H2]. apply le_INR in H1, H2. rewrite plus_INR in H1, H2.
  simpl in H1, H2. lra.
Qed.

Lemma bumpy_sum : forall e k T, sum T (fun s => bumpy e k (S s)) = 2 * INR T + INR (bump (e k) T).
Proof.
  intros e k T. induction T as [|T IH]; simpl sum.
  - unfold bump, tent. simpl. destruct (e k); simpl; lra.
  - rewrite IH. unfold bumpy. rewrite Nat.sub_succ, Nat.sub_0_r, S_INR. lra.
Qed.

(** Means of it stay apart: 2 at the powers of 2, 2 + 1/3 at the middles. *)
Lemma bumpy_mean_has_no_limit : forall b L, ~ Un_cv (fun T => (2 * INR T + INR (bump b T)) / INR T) L.
Proof.
  intros b. apply apart_no_limit with (low := 2) (high := 2 + / 3); [lra| |].
  - intros N. exists (2 ^ N)%nat. split; [apply late_power|]. rewrite bump_at_power. simpl INR at 2.
    assert (0 < INR (2 ^ N)) by (apply lt_0_INR, Nat.neq_0_lt_0, Nat.pow_nonzero; lia).
    right. field. lra.
  - intros N. destruct (late_middle b N) as (n & Hn & He). exists (3 * 2 ^ n)%nat. split; [assumption|].
    rewrite (bump_at_middle b n He), mult_INR. replace (INR 3) with 3 by (simpl; lra).
    assert (0 < INR (2 ^ n)) by (apply lt_0_INR, Nat.neq_0_lt_0, Nat.pow_nonzero; lia).
    right. field. lra.
Qed.

(** ** Counterexample: the limit that defines λ_max need not exist *)

(** One channel. The exponent over T steps is -(2 + bump/T): -2 at T = 2^m, -7/3 at T = 3 · 2^(2j+1). *)
Theorem limit_need_not_exist : exists m u, well_shaped m /\
  (forall t, fits (mamba_layer m) 3 (u (S t))) /\
  forall lambda, ~ Un_cv (exponent (mamba_layer m) u) lambda.
Proof.
  exists (driven 1), (driving (bumpy (fun _ => true))).
  split; [apply driven_shape; lia|]. split.
  { intros t. apply driving_fits. intros. apply bumpy_range. }
  intros lambda H.
  apply (bumpy_mean_has_no_limit true (- lambda)).
  intros eps Heps. destruct (H eps Heps) as [N HN]. exists N. intros n Hn. specialize (HN n Hn).
  rewrite driven_one_exponent, bumpy_sum in HN
    by (intros t; pose proof (bumpy_range (fun _ => true) 0 t); lra).
  unfold R_dist in *. rewrite <- Rabs_Ropp in HN.
  replace (- (- (2 * INR n + INR (bump true n)) / INR n - lambda))
    with ((2 * INR n + INR (bump true n)) / INR n - - lambda) in HN by (unfold Rdiv; ring).
  exact HN.
Qed.

(** ** Counterexample: the dimension i may switch for ever *)

(** The entry that attains the norm over T steps, the proof's i. *)
Definition is_argmax (l : layer) (u : nat -> vec) (T i : nat) : Prop :=
  (i < width l)%nat /\
  forall j, (j < width l)%nat -> exp (A l j * elapsed l u j T) <= exp (A l i * elapsed l u i T).

(** Two channels, bumps in turn. λ_max exists and is -2, at every T even; yet no entry attains the norm
    from some T on, and for neither entry has "A[i,i] lim (1/T) Σ Δ_t[i,i]" a limit in it. *)
Theorem argmax_switches_for_ever : exists m u, well_shaped m /\
  (forall t, fits (mamba_layer m) 3 (u (S t))) /\
  (forall T, (0 < T)%nat -> exponent (mamba_layer m) u T = - 2) /\
  (forall i N, exists T, (N <= T)%nat /\ ~ is_argmax (mamba_layer m) u T i) /\
  (forall i, (i < width (mamba_layer m))%nat ->
     forall mean, ~ Un_cv (fun T => elapsed (mamba_layer m) u i T / INR T) mean).
Proof.
  set (e := fun k : nat => Nat.eqb k 0).
  exists (driven 2), (driving (bumpy e)). set (l := mamba_layer (driven 2)). set (u := driving (bumpy e)).
  assert (Hpos : forall k t, 0 < bumpy e k (S t)) by (intros; pose proof (bumpy_range e k t); lra).
  assert (HE : forall k T, (k < 2)%nat -> elapsed l u k T = 2 * INR T + INR (bump (e k) T)).
  { intros k T Hk. unfold l, u. rewrite driven_elapsed by auto. apply bumpy_sum. }
  assert (HA : forall k, A l k = - 1) by (intros; apply driven_A).
  split; [apply driven_shape; lia|]. split.
  { intros t. apply driving_fits. intros. apply bumpy_range. }
  split; [|split].
  - intros T HT. unfold exponent.
    replace (jacobians_norm l u T) with (exp (- (2 * INR T))).
    { rewrite ln_exp. field. apply not_0_INR. lia. }
    unfold jacobians_norm. change (width l) with 2%nat. cbn [largest].
    rewrite (Rmax_right 0) by (left; apply exp_pos). rewrite !HA, !HE by lia.
    change (e 0%nat) with true. change (e 1%nat) with false.
    assert (H0 : forall b, exp (- 1 * (2 * INR T + INR (bump b T))) <= exp (- (2 * INR T))).
    { intros b. apply exp_mono. pose proof (pos_INR (bump b T)). lra. }
    pose proof (H0 true) as Htrue. pose proof (H0 false) as Hfalse.
    assert (Hoff : forall b, bump b T = O -> exp (- 1 * (2 * INR T + INR (bump b T))) = exp (- (2 * INR T))).
    { intros b Hb. rewrite Hb. simpl INR. f_equal. lra. }
    symmetry. destruct (one_bump_is_off T) as [H|H]; pose proof (Hoff _ H) as E.
    + rewrite Rmax_left; lra.
    + rewrite Rmax_right; lra.
  - intros i N. destruct (Nat.lt_ge_cases i 2) as [Hi|Hi].
    + destruct (late_middle (e i) N) as (n & Hn & Hen). exists (3 * 2 ^ n)%nat. split; [exact Hn|].
      intros [_ H]. specialize (H (1 - i)%nat ltac:(change (width l) with 2%nat; lia)).
      rewrite !HA, !HE in H by lia. rewrite (bump_at_middle (e i) n Hen) in H.
      assert (Hoff : bump (e (1 - i)%nat) (3 * 2 ^ n) = O).
      { destruct (one_bump_is_off (3 * 2 ^ n)) as [H1|H1];
          pose proof (bump_at_middle (e i) n Hen) as H2;
          assert (2 ^ n <> 0)%nat by (apply Nat.pow_nonzero; lia);
          assert (i = 0 \/ i = 1)%nat as [-> | ->] by lia; unfold e in *; simpl in *; congruence. }
      rewrite Hoff in H. simpl (INR 0) in H.
      assert (0 < INR (2 ^ n)) by (apply lt_0_INR, Nat.neq_0_lt_0, Nat.pow_nonzero; lia).
      apply Rle_not_lt in H. apply H, exp_increasing. lra.
    + exists N. split; [lia|]. intros [H _]. change (width l) with 2%nat in H. lia.
  - intros i Hi mean H. change (width l) with 2%nat in Hi.
    apply (bumpy_mean_has_no_limit (e i) mean). intros eps Heps. destruct (H eps Heps) as [N HN].
    exists N. intros n Hn. specialize (HN n Hn). now rewrite HE in HN.
Qed.

(** Repair: taken anew for every T, i gives the exponent over T steps, and its sign does not depend
    on which i it is. *)
Theorem argmax_of_each_T : forall l u T, admissible l -> (0 < T)%nat ->
  exists i, is_argmax l u T i /\
    exponent l u T = A l i * (elapsed l u i T / INR T) /\ A l i * (elapsed l u i T / INR T) <= 0.
Proof.
  intros l u T Hl HT.
  destruct (largest_attained (width l) (fun k => exp (A l k * elapsed l u k T))) as (i & Hi & E);
    [now apply some_entry|intros; left; apply exp_pos|].
  assert (Hexp : exponent l u T = A l i * (elapsed l u i T / INR T)).
  { unfold exponent, jacobians_norm. rewrite E, ln_exp. unfold Rdiv. ring. }
  exists i. split; [split; [assumption|]|split; [exact Hexp|]].
  - intros j Hj. rewrite <- E. apply (largest_ge _ (fun k => exp (A l k * elapsed l u k T)) j Hj).
  - rewrite <- Hexp. now apply lemma1_every_T.
Qed.

(** Repair of the printed equality: λ <= max_k A[k] m_k, where m_k is a lower bound in the limit of the
    means of Δ_t[k] (at best their limit inferior), with λ the limit superior. *)
Theorem limsup_by_means : forall l u lambda (m : vec) b, admissible l ->
  (forall k e, (k < width l)%nat -> 0 < e ->
     exists N, forall T, (N <= T)%nat -> m k - e <= elapsed l u k T / INR T) ->
  (forall k, (k < width l)%nat -> A l k * m k <= b) ->
  is_limsup (exponent l u) lambda -> lambda <= b.
Proof.
  intros l u lambda m b Hl Hm Hb Hlim. apply Rnot_lt_le. intros Hlt.
  set (alpha := 1 + max_norm (width l) (A l)).
  assert (Hal : 1 <= alpha) by (pose proof (max_norm_nonneg (width l) (A l)); unfold alpha; lra).
  set (e := (lambda - b) / (2 * alpha)).
  assert (He : 0 < e) by (apply Rdiv_lt_0_compat; lra).
  assert (Hae : alpha * e = (lambda - b) / 2) by (unfold e; field; lra).
  assert (HN : forall n, (n <= width l)%nat -> exists N, forall k T, (k < n)%nat -> (N <= T)%nat ->
    m k - e <= elapsed l u k T / INR T).
  { induction n as [|n IH]; intros Hn; [exists O; intros; lia|].
    destruct (IH ltac:(lia)) as (N1 & H1). destruct (Hm n e ltac:(lia) He) as (N2 & H2).
    exists (max N1 N2). intros k T Hk HT.
    destruct (Nat.eq_dec k n) as [->|]; [apply H2|apply H1]; lia. }
  destruct (HN (width l) (Nat.le_refl _)) as (N & HNall).
  enough (lambda <= b + (lambda - b) / 2) by lra.
  apply (limsup_le _ _ _ (S N) Hlim). intros T HT.
  destruct (argmax_of_each_T l u T Hl ltac:(lia)) as (i & (Hi & _) & -> & _).
  specialize (HNall i T Hi ltac:(lia)). specialize (Hb i Hi).
  pose proof (A_nonpositive l Hl i Hi) as HA. pose proof (max_norm_ge (width l) (A l) i Hi) as Hai.
  rewrite Rabs_left1 in Hai by assumption.
  assert (A l i * (elapsed l u i T / INR T) <= A l i * (m i - e)) by nra.
  assert (- A l i * e <= alpha * e) by (apply Rmult_le_compat_r; [lra|unfold alpha; lra]).
  lra.
Qed.

(** ** Counterexample: O(ε exp(Nλ)) does not follow from λ being the limit *)

(** Δ_t = 2 - (√t - √(t-1)): after N steps ε has become ε exp(-2N + √N), and λ = -2. *)
Definition slowing (_ t : nat) : R := 2 - (sqrt (INR t) - sqrt (INR (t - 1))).

Lemma slowing_range : forall k t, 1 <= slowing k (S t) <= 3.
Proof.
  intros k t. unfold slowing. rewrite Nat.sub_succ, Nat.sub_0_r, S_INR. pose proof (pos_INR t).
  pose proof (sqrt_pos (INR t)). pose proof (sqrt_sqrt (INR t) ltac:(lra)).
  assert (sqrt (INR t) <= sqrt (INR t + 1)) by (apply sqrt_le_1_alt; lra).
  assert (sqrt (INR t + 1) <= 1 + sqrt (INR t)).
  { rewrite <- (sqrt_square (1 + sqrt (INR t))) by lra. apply sqrt_le_1_alt. nra. }
  lra.
Qed.

Lemma slowing_sum : forall k T, sum T (fun s => slowing k (S s)) = 2 * INR T - sqrt (INR T).
Proof.
  intros k T. induction T as [|T IH]; simpl sum.
  - simpl. rewrite sqrt_0. lra.
  - rewrite IH. unfold slowing. rewrite Nat.sub_succ, Nat.sub_0_r, S_INR. lra.
Qed.

Theorem rate_of_the_limit_is_not_enough : exists m u lambda, well_shaped m /\
  (forall t, fits (mamba_layer m) 3 (u (S t))) /\
  Un_cv (exponent (mamba_layer m) u) lambda /\
  forall K e x0, 0 < e -> exists N,
    K * e * exp (INR N * lambda)
    < max_norm (width (mamba_layer m)) (deviation (mamba_layer m) x0 (fun k => x0 k + e) u u N).
Proof.
  exists (driven 1), (driving slowing), (-2).
  assert (Hpos : forall t, 0 < slowing 0 (S t)) by (intros; pose proof (slowing_range 0 t); lra).
  split; [apply driven_shape; lia|]. split.
  { intros t. apply driving_fits. intros. apply slowing_range. }
  split.
  - intros eps Heps. destruct (eventually_small 1 (eps * eps) ltac:(lra) ltac:(nra)) as (N & HN & Hs).
    exists N. intros n Hn. unfold ge in Hn. rewrite driven_one_exponent, slowing_sum by assumption.
    assert (Hnp : 0 < INR n) by (apply lt_0_INR; lia). unfold R_dist.
    set (r := sqrt (INR n)). assert (Hr : 0 < r) by (apply sqrt_lt_R0; assumption).
    assert (Hrr : r * r = INR n) by (apply sqrt_sqrt; lra).
    specialize (Hs n Hn). rewrite <- Hrr in *.
    replace (- (2 * (r * r) - r) / (r * r) - -2) with (/ r) by (field; lra).
    rewrite Rabs_pos_eq by (left; now apply Rinv_0_lt_compat).
    apply Rmult_lt_reg_r with r; [assumption|]. rewrite Rinv_l by lra.
    apply Rnot_le_lt. intros Hle. assert (0 < eps * r) by nra. nra.
  - intros K e x0 He. destruct (nat_above K) as (n & Hn & _). exists (n * n)%nat.
    eapply Rlt_le_trans; [|apply (max_norm_ge _ _ 0); rewrite driven_width; lia].
    rewrite driven_one_deviation, slowing_sum, mult_INR by assumption.
    rewrite sqrt_square by apply pos_INR.
    replace (x0 0%nat + e - x0 0%nat) with e by lra.
    rewrite Rabs_pos_eq by (pose proof (exp_pos (- (2 * (INR n * INR n) - INR n))); nra).
    replace (- (2 * (INR n * INR n) - INR n)) with (INR n * INR n * -2 + INR n) by ring.
    rewrite exp_plus. pose proof (exp_pos (INR n * INR n * -2)). pose proof (exp_ge_line (INR n)).
    assert (K * e < exp (INR n) * e) by (apply Rmult_lt_compat_r; lra).
    assert (K * e * exp (INR n * INR n * -2) < exp (INR n) * e * exp (INR n * INR n * -2))
      by (apply Rmult_lt_compat_r; lra).
    lra.
Qed.

(** Repair: with any slack d > 0 there is such a bound, for the limit as for the limit superior; its
    constant belongs to the trajectory. *)
Theorem rate_with_slack : forall l u lambda d, admissible l -> is_limsup (exponent l u) lambda -> 0 < d ->
  exists K, forall x0 x0' N,
    max_norm (width l) (deviation l x0 x0' u u N)
    <= K * max_norm (width l) (fun k => x0' k - x0 k) * exp (INR N * (lambda + d)).
Proof.
  intros l u lambda d Hl Hlim Hd. destruct (Hlim d Hd) as [[N0 HN0] _].
  exists (exp (INR N0 * Rabs (lambda + d))). intros x0 x0' N.
  set (dx := max_norm (width l) (fun k => x0' k - x0 k)).
  assert (Hdx : 0 <= dx) by apply max_norm_nonneg.
  assert (HK : 1 <= exp (INR N0 * Rabs (lambda + d))).
  { pose proof (exp_ge_line (INR N0 * Rabs (lambda + d))).
    pose proof (pos_INR N0). pose proof (Rabs_pos (lambda + d)). nra. }
  destruct (Nat.lt_ge_cases N (S N0)) as [HN|HN].
  - apply Rle_trans with dx.
    { unfold dx. clear - Hl. induction N as [|N IH]; [apply Rle_refl|].
      eapply Rle_trans; [now apply theorem1_max_norm_never_rises|exact IH]. }
    rewrite Rmult_comm, <- Rmult_assoc, <- exp_plus.
    rewrite <- (Rmult_1_l dx) at 1. apply Rmult_le_compat_r; [assumption|].
    rewrite <- exp_0. apply exp_mono.
    assert (INR N <= INR N0) by (apply le_INR; lia). pose proof (pos_INR N).
    pose proof (Rle_abs (- (lambda + d))). rewrite Rabs_Ropp in *. pose proof (Rabs_pos (lambda + d)). nra.
  - eapply Rle_trans; [apply theorem1_state_max_norm; [assumption|lia]|]. fold dx.
    assert (exp (INR N * exponent l u N) <= exp (INR N * (lambda + d))).
    { apply exp_mono, Rmult_le_compat_l; [apply pos_INR|]. left. apply HN0. lia. }
    pose proof (exp_pos (INR N * (lambda + d))).
    apply Rle_trans with (dx * exp (INR N * (lambda + d))); [now apply Rmult_le_compat_l|].
    assert (0 <= dx * exp (INR N * (lambda + d))) by (apply Rmult_le_pos; lra). nra.
Qed.

(** Counterexample: with λ from the limit no constant serves all trajectories, not even with slack.
    Δ_t = 1 for n steps and 2 from then on: λ = -2 for every n, but ε exp(-n) after n steps. *)
Definition slow_start (n : nat) (_ t : nat) : R := if Nat.leb t n then 1 else 2.

Lemma slow_start_sum : forall n k T,
  sum T (fun s => slow_start n k (S s)) = 2 * INR T - INR (Nat.min n T).
Proof.
  intros n k T. induction T as [|T IH]; simpl sum; [rewrite Nat.min_0_r; simpl; lra|].
  rewrite IH, S_INR. unfold slow_start. destruct (Nat.leb_spec (S T) n).
  - rewrite !Nat.min_r, S_INR by lia. lra.
  - rewrite !Nat.min_l by lia. lra.
Qed.

Theorem no_constant_for_all_trajectories : exists m lambda, well_shaped m /\
  forall d K e x0, 0 < d < 1 -> 0 < e -> exists u N,
    (forall t, fits (mamba_layer m) 3 (u t)) /\
    Un_cv (exponent (mamba_layer m) u) lambda /\
    K * e * exp (INR N * (lambda + d))
    < max_norm (width (mamba_layer m)) (deviation (mamba_layer m) x0 (fun k => x0 k + e) u u N).
Proof.
  exists (driven 1), (-2). split; [apply driven_shape; lia|]. intros d K e x0 Hd He.
  destruct (nat_above (K / (1 - d))) as (n & Hn & Hnpos).
  assert (Hrange : forall k t, 1 <= slow_start n k t <= 3)
    by (intros k t; unfold slow_start; destruct (Nat.leb t n); lra).
  assert (Hpos : forall t, 0 < slow_start n 0 (S t)) by (intros t; specialize (Hrange 0%nat (S t)); lra).
  exists (driving (slow_start n)), n. split; [|split].
  - intros t. apply driving_fits. intros. apply Hrange.
  - apply limit_by_rate with (c := INR n); [apply pos_INR|]. intros T HT.
    rewrite driven_one_exponent, slow_start_sum by assumption.
    assert (0 < INR T) by now apply lt_0_INR.
    replace (- (2 * INR T - INR (Nat.min n T)) / INR T - -2) with (INR (Nat.min n T) / INR T) by (field; lra).
    pose proof (pos_INR (Nat.min n T)).
    assert (INR (Nat.min n T) <= INR n) by (apply le_INR; lia).
    assert (0 < / INR T) by now apply Rinv_0_lt_compat.
    rewrite Rabs_pos_eq by (unfold Rdiv; nra). unfold Rdiv. nra.
  - eapply Rlt_le_trans; [|apply (max_norm_ge _ _ 0); rewrite driven_width; lia].
    rewrite driven_one_deviation, slow_start_sum, Nat.min_id by assumption.
    replace (x0 0%nat + e - x0 0%nat) with e by lra.
    replace (- (2 * INR n - INR n)) with (INR n * (-2 + d) + INR n * (1 - d)) by ring.
    rewrite exp_plus. set (q := exp (INR n * (-2 + d))). assert (Hq : 0 < q) by apply exp_pos.
    pose proof (exp_ge_line (INR n * (1 - d))).
    assert (K < INR n * (1 - d)).
    { apply Rmult_lt_reg_r with (/ (1 - d)); [apply Rinv_0_lt_compat; lra|].
      rewrite Rmult_assoc, Rinv_r by lra. unfold Rdiv in Hn. lra. }
    rewrite Rabs_pos_eq by (repeat apply Rmult_le_pos; try lra; left; apply exp_pos).
    set (z := exp (INR n * (1 - d))) in *.
    assert (K * (e * q) < z * (e * q)) by (apply Rmult_lt_compat_r; [apply Rmult_lt_0_compat|]; lra).
    lra.
Qed.
