(** Section 3.1 on discrete systems in general, before it turns to Mamba.

    Paper v2, Section 3.1: "The rate of divergence between two scalar ε-close inputs to a discrete
    dynamical system is bounded by the system's maximal Lyapunov exponent λ_max. Given λ_max (...), the
    maximum deviation between these points grows as max |F^N(...) - F^N(...)| ∈ O(ε exp(N λ_max)). Thus,
    when λ_max > 0, nearby trajectories exponentially separate and, when λ_max <= 0, nearby trajectories
    ultimately converge to the same fixed point or periodic cycles."

    All three are refuted, by linear systems x_t = M x_{t-1} of two entries:

    - M = [[1, 1], [0, 1]] has λ_max = 0 and deviations (N + 1) ε: in O(ε exp(N λ_max)) for no constant,
      and converging to nothing;
    - M = [[5/4, -3/4], [-3/4, 5/4]] has λ_max = ln 2 > 0 and the paper's deviation, +ε in every entry, is
      halved at every step: it does not separate.

    And over finitely many steps "∈ O(ε exp(Nζ))" says nothing at all: with a constant large enough it
    holds of every system and every ζ ([finite_horizon_says_nothing], [doubling_passes]). *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis.
Local Open Scope R_scope.

(** x_t = M x_{t-1}, M of size n; its Jacobians' product over N steps is M^N. *)
Fixpoint iterate (n : nat) (M : mat) (x0 : vec) (N : nat) : vec :=
  match N with O => x0 | S s => apply n M (iterate n M x0 s) end.

Fixpoint power (n : nat) (M : mat) (N : nat) : mat :=
  match N with O => identity | S s => product n M (power n M s) end.

(** λ_max of x_t = M x_{t-1} is [lambda]: the paper's definition. *)
Definition has_exponent (n : nat) (M : mat) (lambda : R) : Prop :=
  exists s : nat -> R, (forall N, is_spectral_norm n (power n M N) (s N)) /\
    Un_cv (fun N => ln (s N) / INR N) lambda.

Definition two_by_two (a b c d : R) : mat := fun i j =>
  match i, j with O, O => a | O, _ => b | _, O => c | _, _ => d end.

Lemma max_norm_2 : forall v, max_norm 2 v = Rmax (Rabs (v 0%nat)) (Rabs (v 1%nat)).
Proof. intros v. unfold max_norm. cbn [largest]. rewrite (Rmax_right 0) by apply Rabs_pos. reflexivity. Qed.

(** Every matrix has a spectral norm. *)
Lemma spectral_norm_exists : forall n M, {s | is_spectral_norm n M s}.
Proof.
  intros n M.
  set (E := fun r => exists v, two_norm n v <= 1 /\ r = two_norm n (apply n M v)).
  set (c := largest n (fun i => sum n (fun j => Rabs (M i j)))).
  assert (Hb : bound E).
  { exists (sqrt (INR n) * c). intros r (v & Hv & ->).
    eapply Rle_trans; [apply two_norm_le_sqrt_max|]. apply Rmult_le_compat_l; [apply sqrt_pos|].
    apply max_norm_le; [apply largest_nonneg|]. intros i Hi.
    apply Rle_trans with (sum n (fun j => Rabs (M i j))).
    - eapply Rle_trans; [apply sum_abs|]. apply sum_le. intros j Hj. rewrite Rabs_mult.
      pose proof (two_norm_ge n v j Hj). pose proof (Rabs_pos (M i j)). nra.
    - apply (largest_ge n (fun i => sum n (fun j => Rabs (M i j))) i Hi). }
  assert (Hne : exists r, E r).
  { exists (two_norm n (apply n M (fun _ => 0))), (fun _ => 0). split; [|reflexivity].
    rewrite two_norm_const, Rabs_R0. lra. }
  exact (completeness E Hb Hne).
Qed.

(** ** [[1, 1], [0, 1]] *)

Definition shear : mat := two_by_two 1 1 0 1.

Lemma shear_power : forall N i j, (i < 2)%nat -> (j < 2)%nat ->
  power 2 shear N i j = two_by_two 1 (INR N) 0 1 i j.
Proof.
  induction N as [|N IH]; intros i j Hi Hj.
  - destruct i as [|[|]], j as [|[|]]; try lia; reflexivity.
  - simpl power. unfold product. cbn [sum]. rewrite !IH by lia. rewrite S_INR.
    destruct i as [|[|]], j as [|[|]]; try lia; unfold shear, two_by_two; lra.
Qed.

Lemma shear_applied : forall N v i, (i < 2)%nat ->
  apply 2 (power 2 shear N) v i
  = two_by_two 1 (INR N) 0 1 i 0%nat * v 0%nat + two_by_two 1 (INR N) 0 1 i 1%nat * v 1%nat.
Proof. intros N v i Hi. unfold apply. cbn [sum]. rewrite !shear_power by lia. lra. Qed.

(** Its norm lies between 1 and 2 (N + 1). *)
Lemma shear_norm_range : forall N s, is_spectral_norm 2 (power 2 shear N) s -> 1 <= s <= 2 * (INR N + 1).
Proof.
  intros N s [Hub Hleast]. split.
  - apply Hub. set (e := fun k => if Nat.eqb 0 k then 1 else 0).
    exists e. split; [unfold e; rewrite two_norm_unit by lia; lra|].
    rewrite <- (two_norm_unit 2 0) by lia. fold e. apply two_norm_ext. intros k Hk.
    rewrite shear_applied by assumption. unfold e.
    destruct k as [|[|]]; try lia; simpl; lra.
  - apply Hleast. intros r (v & Hv & ->).
    pose proof (two_norm_ge 2 v 0 ltac:(lia)) as H0. pose proof (two_norm_ge 2 v 1 ltac:(lia)) as H1.
    pose proof (pos_INR N) as HN.
    assert (Hm : max_norm 2 (apply 2 (power 2 shear N) v) <= INR N + 1).
    { apply max_norm_le; [lra|]. intros k Hk. rewrite shear_applied by assumption.
      eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_mult.
      destruct k as [|[|]]; try lia; cbn [two_by_two].
      - rewrite Rabs_R1, (Rabs_pos_eq (INR N)) by assumption.
        pose proof (Rabs_pos (v 1%nat)). nra.
      - rewrite Rabs_R0, Rabs_R1. lra. }
    eapply Rle_trans; [apply two_norm_le_sqrt_max|]. simpl INR.
    assert (0 <= sqrt (1 + 1) <= 2).
    { split; [apply sqrt_pos|]. apply Rle_trans with (sqrt (2 * 2)); [apply sqrt_le_1_alt; lra|].
      rewrite sqrt_square; lra. }
    pose proof (max_norm_nonneg 2 (apply 2 (power 2 shear N) v)). nra.
Qed.

Lemma shear_exponent : has_exponent 2 shear 0.
Proof.
  set (s := fun N => proj1_sig (spectral_norm_exists 2 (power 2 shear N))).
  assert (Hs : forall N, is_spectral_norm 2 (power 2 shear N) (s N))
    by (intros N; exact (proj2_sig (spectral_norm_exists 2 (power 2 shear N)))).
  exists s. split; [exact Hs|].
  (* 0 <= ln s_N <= ln (2 (N+1)) <= 2 sqrt (2 (N+1)) <= 4 sqrt N *)
  intros eps Heps. destruct (eventually_small 16 (eps * eps) ltac:(lra) ltac:(nra)) as (N0 & HN0 & Hsmall).
  exists N0. intros N HN. unfold ge in HN. specialize (Hsmall N HN).
  destruct (shear_norm_range N (s N) (Hs N)) as [H1 H2].
  assert (HNp : 1 <= INR N) by (apply (le_INR 1); lia).
  assert (Hln0 : 0 <= ln (s N)) by (rewrite <- ln_1; apply ln_mono; lra).
  set (r := sqrt (2 * (INR N + 1))). assert (Hr : 0 < r) by (apply sqrt_lt_R0; lra).
  assert (Hrr : r * r = 2 * (INR N + 1)) by (apply sqrt_sqrt; lra).
  assert (Hln : ln (s N) <= 2 * r).
  { apply Rle_trans with (ln (r * r)); [apply ln_mono; lra|]. rewrite ln_mult by assumption.
    pose proof (ln_le_line r Hr). lra. }
  unfold R_dist. rewrite Rminus_0_r, Rabs_pos_eq
    by (apply Rmult_le_pos; [assumption|left; apply Rinv_0_lt_compat; lra]).
  apply Rmult_lt_reg_r with (INR N); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  eapply Rle_lt_trans; [exact Hln|].
  apply Rnot_le_lt. intros Hle.
  assert ((eps * INR N) * (eps * INR N) <= (2 * r) * (2 * r)) by (apply Rmult_le_compat; nra).
  nra.
Qed.

Lemma shear_deviation : forall x0 e N,
  iterate 2 shear (fun k => x0 k + e) N 0%nat - iterate 2 shear x0 N 0%nat = (INR N + 1) * e /\
  iterate 2 shear (fun k => x0 k + e) N 1%nat - iterate 2 shear x0 N 1%nat = e.
Proof.
  intros x0 e. induction N as [|N [H0 H1]].
  - simpl. lra.
  - cbn [iterate]. unfold apply. cbn [sum]. rewrite S_INR.
    change (shear 0%nat 0%nat) with 1. change (shear 0%nat 1%nat) with 1.
    change (shear 1%nat 0%nat) with 0. change (shear 1%nat 1%nat) with 1. lra.
Qed.

(** "Bounded by the system's maximal Lyapunov exponent", of any system: false. So is "when λ_max <= 0,
    nearby trajectories ultimately converge". *)
Theorem exponent_does_not_bound_deviations : exists M lambda, has_exponent 2 M lambda /\
  forall x0 e, 0 < e ->
    let dx N := max_norm 2 (fun k => iterate 2 M (fun k => x0 k + e) N k - iterate 2 M x0 N k) in
    (forall N, dx N = (INR N + 1) * e) /\
    (forall K, exists N, K * e * exp (INR N * lambda) < dx N).
Proof.
  exists shear, 0. split; [apply shear_exponent|]. intros x0 e He dx.
  assert (Hdx : forall N, dx N = (INR N + 1) * e).
  { intros N. unfold dx. rewrite max_norm_2. destruct (shear_deviation x0 e N) as [-> ->].
    pose proof (pos_INR N). rewrite !Rabs_pos_eq by nra. apply Rmax_left. nra. }
  split; [exact Hdx|]. intros K. destruct (nat_above K) as (N & HN & _). exists N.
  rewrite Hdx, Rmult_0_r, exp_0. nra.
Qed.

(** ** [[5/4, -3/4], [-3/4, 5/4]]: halves (1, 1), doubles (1, -1) *)

Definition saddle : mat := two_by_two (5/4) (-3/4) (-3/4) (5/4).

Lemma saddle_power : forall N i j, (i < 2)%nat -> (j < 2)%nat ->
  power 2 saddle N i j = two_by_two (((/2)^N + 2^N) / 2) (((/2)^N - 2^N) / 2)
                                    (((/2)^N - 2^N) / 2) (((/2)^N + 2^N) / 2) i j.
Proof.
  induction N as [|N IH]; intros i j Hi Hj.
  - destruct i as [|[|]], j as [|[|]]; try lia; unfold two_by_two, power, identity, diagonal; simpl; lra.
  - simpl power. unfold product. cbn [sum]. rewrite !IH by lia.
    destruct i as [|[|]], j as [|[|]]; try lia; unfold saddle, two_by_two; simpl; lra.
Qed.

Lemma saddle_norm : forall N, is_spectral_norm 2 (power 2 saddle N) (2 ^ N).
Proof.
  intros N. set (p := (/ 2) ^ N). set (q := 2 ^ N).
  assert (Hq : 1 <= q) by (apply pow_R1_Rle; lra).
  assert (Hp : 0 <= p <= 1).
  { split; [apply pow_le; lra|]. rewrite <- (pow1 N). apply pow_incr. lra. }
  assert (E : forall v i, (i < 2)%nat -> apply 2 (power 2 saddle N) v i
    = match i with O => ((p + q) * v 0%nat + (p - q) * v 1%nat) / 2
              | _ => ((p - q) * v 0%nat + (p + q) * v 1%nat) / 2 end).
  { intros v i Hi. unfold apply. cbn [sum]. rewrite !saddle_power by lia. fold p. fold q.
    destruct i as [|[|]]; try lia; unfold two_by_two; lra. }
  assert (Hpq : p * p <= q * q) by nra.
  split.
  - intros r (v & Hv & ->). apply Rle_trans with (q * two_norm 2 v); [|nra].
    unfold two_norm. rewrite <- (sqrt_square q) by lra. rewrite <- sqrt_mult_alt by nra.
    apply sqrt_le_1_alt. cbn [sum]. rewrite !E by lia.
    assert (0 <= (q * q - p * p) * ((v 0%nat + v 1%nat) * (v 0%nat + v 1%nat)))
      by (apply Rmult_le_pos; [lra|apply Rle_0_sqr]).
    nra.
  - intros b Hb. set (h := / sqrt 2). assert (Hh : h * h = / 2).
    { unfold h. rewrite <- Rinv_mult, sqrt_sqrt by lra. reflexivity. }
    apply Hb. exists (fun k => match k with O => h | _ => - h end). split.
    + unfold two_norm. cbn [sum]. replace (0 + h * h + - h * - h) with 1 by lra. rewrite sqrt_1. lra.
    + unfold two_norm. cbn [sum]. rewrite !E by lia.
      replace (0 + ((p + q) * h + (p - q) * - h) / 2 * (((p + q) * h + (p - q) * - h) / 2)
        + ((p - q) * h + (p + q) * - h) / 2 * (((p - q) * h + (p + q) * - h) / 2))
        with (2 * (q * q) * (h * h)) by field.
      rewrite Hh. replace (2 * (q * q) * / 2) with (q * q) by field.
      now rewrite sqrt_square by lra.
Qed.

(** "When λ_max > 0, nearby trajectories exponentially separate": false of the paper's own deviation. *)
Theorem positive_exponent_need_not_separate : exists M, has_exponent 2 M (ln 2) /\ 0 < ln 2 /\
  forall x0 e N k, (k < 2)%nat ->
    iterate 2 M (fun k => x0 k + e) N k - iterate 2 M x0 N k = (/ 2) ^ N * e.
Proof.
  exists saddle. assert (Hl2 : 0 < ln 2) by (rewrite <- ln_1; apply ln_increasing; lra).
  split; [|split; [exact Hl2|]].
  - exists (fun N => 2 ^ N). split; [apply saddle_norm|].
    apply limit_by_rate with (c := 0); [lra|]. intros N HN.
    assert (0 < INR N) by now apply lt_0_INR.
    rewrite <- (exp_ln 2) at 1 by lra. rewrite <- exp_times_nat, ln_exp.
    replace (INR N * ln 2 / INR N - ln 2) with 0 by (field; lra). rewrite Rabs_R0. unfold Rdiv. lra.
  - intros x0 e. induction N as [|N IH]; intros k Hk; [simpl; lra|].
    cbn [iterate]. unfold apply. cbn [sum].
    pose proof (IH 0%nat ltac:(lia)) as H0. pose proof (IH 1%nat ltac:(lia)) as H1.
    simpl pow. destruct k as [|[|]]; try lia.
    + change (saddle 0%nat 0%nat) with (5/4). change (saddle 0%nat 1%nat) with (-3/4). lra.
    + change (saddle 1%nat 0%nat) with (-3/4). change (saddle 1%nat 1%nat) with (5/4). lra.
Qed.

(** ** What O(.) can mean over finitely many steps *)

(** Of whatever sequence, with whatever rate, over whatever horizon. *)
Theorem finite_horizon_says_nothing : forall (f : nat -> R) (rate : R) (T : nat),
  exists K, forall N, (N <= T)%nat -> Rabs (f N) <= K * exp (INR N * rate).
Proof.
  intros f rate. induction T as [|T (K & HK)].
  - exists (Rabs (f O)). intros N HN. replace N with O by lia. simpl INR. rewrite Rmult_0_l, exp_0. lra.
  - exists (Rmax K (Rabs (f (S T)) / exp (INR (S T) * rate))). intros N HN.
    pose proof (exp_pos (INR N * rate)) as Hp. destruct (Nat.eq_dec N (S T)) as [->|Hne].
    + apply Rle_trans with (Rabs (f (S T)) / exp (INR (S T) * rate) * exp (INR (S T) * rate)).
      * right. field. lra.
      * apply Rmult_le_compat_r; [lra|apply Rmax_r].
    + eapply Rle_trans; [apply HK; lia|]. apply Rmult_le_compat_r; [lra|apply Rmax_l].
Qed.

(** So x_t = 2 x_{t-1}, whose deviations double (λ_max = ln 2), passes Theorem 1's wording with any ζ,
    one constant for all ε and all N up to T. *)
Theorem doubling_passes : forall (rate : R) (T : nat), exists K, forall e N, (N <= T)%nat ->
  Rabs (2 ^ N * e) <= K * Rabs e * exp (INR N * rate).
Proof.
  intros rate T. destruct (finite_horizon_says_nothing (fun N => 2 ^ N) rate T) as (K & HK).
  exists K. intros e N HN. rewrite Rabs_mult. specialize (HK N HN). simpl in HK.
  pose proof (Rabs_pos e). nra.
Qed.
