(** Perturbations and rounding at every step: what mixed precision does.

    Paper v2, Section 3.1.1: AMP "results in small differences to the inputs u_1, ..., u_T (...), Δ_t
    (...), and the gradients"; "by Theorem 1, such differences do not exponentially compound over
    discrete-time within the MambaBlock". Theorem 1 is about one perturbation at one time; its proof does
    not cover this.

    Proved, for differences at every step, inputs in a bounded set, for every N:

    - of the inputs, of Δ and B, and an absolute error of at most ρ in each step: the deviation is at
      most exp(Nζ) ε_0 + (κ + ρ) (1 + q + ... + q^(N-1)), q = exp(ζ). It grows at most like N (κ + ρ),
      and where Δ is bounded below (ζ < 0) it never exceeds ε_0 + (κ + ρ) / (1 - exp(ζ));
    - of the outputs, from that as in Theorem 2;
    - rounding in the standard model of floating-point arithmetic, each operation of a step with a
      relative error of at most u: at most γ (X + G) (1 + q + ... + q^(N-1)), q = (1 + γ) exp(ζ),
      γ = exp(α Δ^ u) (1 + u)^6 - 1. It grows at most like (1 + γ)^N - 1, and where q < 1 it never
      exceeds γ (X + G) / (1 - q).

    Without a lower bound on Δ linear growth does happen: [errors_may_add_up]. Gradients are not covered. *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis Lyapunov.Model Lyapunov.Constants Lyapunov.Lemma1.
Require Import Lyapunov.Theorem1 Lyapunov.Theorem2 Lyapunov.Examples Lyapunov.Decreasing.
Local Open Scope R_scope.

(** ** 1 + q + ... + q^(N-1) *)

Definition geometric (q : R) (N : nat) : R := sum N (fun i => q ^ i).

Lemma geometric_step : forall q N, geometric q (S N) = q * geometric q N + 1.
Proof.
  intros q N. unfold geometric. induction N as [|N IH]; [simpl; lra|].
  change (sum (S N) (fun i => q ^ i) + q ^ S N = q * (sum N (fun i => q ^ i) + q ^ N) + 1).
  rewrite IH. simpl. lra.
Qed.

Lemma geometric_closed : forall q N, geometric q N * (1 - q) = 1 - q ^ N.
Proof.
  intros q N. induction N as [|N IH]; [unfold geometric; simpl; lra|].
  rewrite geometric_step. simpl. nra.
Qed.

(** At most N, and at most 1/(1-q), which is what it converges to. *)
Lemma geometric_grows : forall q N, 0 <= q <= 1 -> geometric q N <= INR N.
Proof.
  intros q N H. unfold geometric. rewrite <- (Rmult_1_r (INR N)), <- sum_const.
  apply sum_le. intros i _. rewrite <- (pow1 i). now apply pow_incr.
Qed.

Lemma geometric_stays : forall q N, 0 <= q < 1 -> geometric q N <= / (1 - q).
Proof.
  intros q N H. apply Rmult_le_reg_r with (1 - q); [lra|]. rewrite Rinv_l, geometric_closed by lra.
  assert (0 <= q ^ N) by (apply pow_le; lra). lra.
Qed.

Lemma recursion : forall (E : nat -> R) q r, 0 <= q -> (forall n, E (S n) <= q * E n + r) ->
  forall N, E N <= q ^ N * E O + r * geometric q N.
Proof.
  intros E q r Hq H. induction N as [|N IH]; [unfold geometric; simpl; lra|].
  eapply Rle_trans; [apply H|]. rewrite geometric_step. simpl.
  apply Rmult_le_compat_l with (r := q) in IH; [|assumption]. lra.
Qed.

(** ** Absolute errors *)

(** [x'] follows the recurrence with step sizes [d], input matrices [B] and inputs [u'], each step with
    an error of at most [rho] in every entry. *)
Definition follows (l : layer) (d B u' : nat -> vec) (rho : R) (x' : nat -> vec) : Prop :=
  forall t k, (k < width l)%nat ->
    Rabs (x' (S t) k - (exp (d (S t) k * A l k) * x' t k
      + gain (hold l) (d (S t) k) (A l k) * B (S t) k * u' (S t) (drive l k))) <= rho.

Theorem errors_at_every_step : forall l b x0 u d B u' x' h_step h_in h_u rho e0,
  admissible l -> within l b -> (forall t, fits l (reach b) (u t)) ->
  (forall t k, (k < width l)%nat -> least b <= d t k <= most b /\ Rabs (B t k) <= most_in b /\
     Rabs (d t k - step_size l (u t) k) <= h_step /\ Rabs (B t k - inward l (u t) k) <= h_in) ->
  (forall t, close (inputs l) h_u (u t) (u' t)) ->
  follows l d B u' rho x' -> close (width l) e0 x0 (x' O) -> 0 <= e0 ->
  forall N, max_norm (width l) (fun k => x' N k - state l x0 u N k)
    <= exp (INR N * zeta b) * e0
       + (moved b (stays b (max_norm (width l) x0)) h_step h_in h_u + rho) * geometric (exp (zeta b)) N.
Proof.
  intros l b x0 u d B u' x' h_step h_in h_u rho e0 Hl Hb Hu HdB Hu' Hx' H0 He0 N.
  set (X := stays b (max_norm (width l) x0)).
  set (E := fun n => max_norm (width l) (fun k => x' n k - state l x0 u n k)).
  assert (HE : forall n, E (S n) <= exp (zeta b) * E n + (moved b X h_step h_in h_u + rho)).
  { intros n. assert (Hstep : forall k, (k < width l)%nat ->
      Rabs (x' (S n) k - state l x0 u (S n) k) <= exp (zeta b) * E n + (moved b X h_step h_in h_u + rho)).
    { intros k Hk. destruct (HdB (S n) k Hk) as ((Hd0 & Hd1) & HB & Hds & HBs).
      destruct (signs l b Hb) as (_&Ha&_&Hle&_). destruct (A_range l b Hb k Hk) as [Hf Hs].
      pose proof (drive_exists l Hl k Hk) as Hdr.
      set (y := exp (d (S n) k * A l k) * x' n k
        + gain (hold l) (d (S n) k) (A l k) * B (S n) k * u' (S n) (drive l k)).
      replace (x' (S n) k - state l x0 u (S n) k) with ((x' (S n) k - y) + (y - state l x0 u (S n) k)) by ring.
      eapply Rle_trans; [apply Rabs_triang|].
      assert (H1 : Rabs (x' (S n) k - y) <= rho) by (apply Hx'; assumption).
      assert (H2 : Rabs (y - state l x0 u (S n) k)
        <= exp (d (S n) k * A l k) * Rabs (x' n k - state l x0 u n k) + moved b X h_step h_in h_u).
      { apply moved_step; try assumption.
        - now apply A_nonpositive.
        - intros EE. now apply (A_divides l Hl EE).
        - now apply step_nonnegative.
        - lra.
        - now apply (in_range l b Hb).
        - now apply Hu.
        - eapply Rle_trans; [apply (max_norm_ge _ (state l x0 u n) k Hk)|now apply states_stay].
        - now apply Hu'. }
      assert (H3 : exp (d (S n) k * A l k) * Rabs (x' n k - state l x0 u n k) <= exp (zeta b) * E n).
      { apply Rmult_le_compat; [left; apply exp_pos|apply Rabs_pos| |].
        - apply exp_mono. unfold zeta. nra.
        - apply (max_norm_ge _ (fun k => x' n k - state l x0 u n k) k Hk). }
      lra. }
    apply max_norm_le; [|exact Hstep].
    eapply Rle_trans; [apply Rabs_pos|apply (Hstep O)]. now apply some_entry. }
  eapply Rle_trans; [apply (recursion E (exp (zeta b)) _ ltac:(left; apply exp_pos) HE)|].
  rewrite <- exp_times_nat. apply Rplus_le_compat_r, Rmult_le_compat_l; [left; apply exp_pos|].
  now apply max_norm_le.
Qed.

(** An error of at most ρ in each step and nothing else, of any admissible layer and all inputs, with
    A[k] <= -a and Δ_t[k] >= δ: at most N ρ (a = δ = 0), and at most ρ / (1 - exp(-a δ)) if a δ > 0. *)
Theorem absolute_errors : forall l x0 u x' a delta rho, admissible l -> 0 <= a -> 0 <= delta -> 0 <= rho ->
  (forall k, (k < width l)%nat -> A l k <= - a) ->
  (forall t k, (k < width l)%nat -> delta <= step_size l (u (S t)) k) ->
  (forall k, (k < width l)%nat -> x' O k = x0 k) ->
  (forall t k, (k < width l)%nat -> Rabs (x' (S t) k - F l (x' t) (u (S t)) k) <= rho) ->
  forall N, let error := max_norm (width l) (fun k => x' N k - state l x0 u N k) in
    error <= INR N * rho /\ (0 < a * delta -> error <= rho / (1 - exp (- (a * delta)))).
Proof.
  intros l x0 u x' a delta rho Hl Ha Hd Hrho HA HD H0 Hx' N error.
  set (q := exp (- (a * delta))). assert (Hq0 : 0 < q) by apply exp_pos.
  assert (Hq1 : q <= 1) by (apply exp_le_1; nra).
  set (E := fun n => max_norm (width l) (fun k => x' n k - state l x0 u n k)).
  assert (HE : forall n, E (S n) <= q * E n + rho).
  { intros n. assert (HEn : 0 <= E n) by apply max_norm_nonneg. apply max_norm_le; [nra|]. intros k Hk.
    replace (x' (S n) k - state l x0 u (S n) k) with
      ((x' (S n) k - F l (x' n) (u (S n)) k) + (F l (x' n) (u (S n)) k - F l (state l x0 u n) (u (S n)) k))
      by (simpl; ring).
    rewrite step_linear. eapply Rle_trans; [apply Rabs_triang|]. rewrite Rabs_mult.
    destruct (A_bar_at_most_1 l (u (S n)) k Hl Hk). rewrite (Rabs_pos_eq (A_bar _ _ _)) by lra.
    assert (A_bar l (u (S n)) k <= q).
    { apply exp_mono. specialize (HA k Hk). specialize (HD n k Hk). nra. }
    assert (A_bar l (u (S n)) k * Rabs (x' n k - state l x0 u n k) <= q * E n).
    { apply Rmult_le_compat; [lra|apply Rabs_pos|assumption|].
      apply (max_norm_ge _ (fun k => x' n k - state l x0 u n k) k Hk). }
    specialize (Hx' n k Hk). lra. }
  assert (HE0 : E O = 0).
  { apply Rle_antisym; [|apply max_norm_nonneg]. apply max_norm_le; [lra|]. intros k Hk.
    simpl. rewrite (H0 k Hk), Rminus_diag_eq, Rabs_R0 by reflexivity. lra. }
  pose proof (recursion E q rho ltac:(lra) HE N) as HR.
  rewrite HE0, Rmult_0_r, Rplus_0_l in HR. fold (E N) in error. unfold error. split.
  - eapply Rle_trans; [exact HR|]. rewrite (Rmult_comm (INR N)).
    apply Rmult_le_compat_l; [assumption|]. apply geometric_grows. lra.
  - intros Hpos. eapply Rle_trans; [exact HR|]. apply Rmult_le_compat_l; [assumption|].
    apply geometric_stays. split; [lra|]. unfold q. rewrite <- exp_0 at 1. apply exp_increasing. lra.
Qed.

(** ** Inputs perturbed at every step, and Δ, B and C with them *)

Theorem inputs_perturbed_at_every_step : forall l b x0 x0' u u' e0 e, admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> (forall t, fits l (reach b) (u' t)) -> 0 <= e -> 0 <= e0 ->
  (forall t, close (inputs l) e (u t) (u' t)) -> close (width l) e0 x0 x0' ->
  forall N, max_norm (width l) (deviation l x0 x0' u u' N)
    <= exp (INR N * zeta b) * e0
       + kappa b (stays b (max_norm (width l) x0)) * e * geometric (exp (zeta b)) N.
Proof.
  intros l b x0 x0' u u' e0 e Hl Hb Hu Hu' He He0 Hc H0 N.
  replace (kappa b (stays b (max_norm (width l) x0)) * e)
    with (moved b (stays b (max_norm (width l) x0)) (move_step b * e) (move_in b * e) e + 0)
    by (unfold moved, kappa; ring).
  apply (errors_at_every_step l b x0 u (fun t => step_size l (u' t)) (fun t => inward l (u' t)) u'
    (state l x0' u')); try assumption.
  - intros t k Hk. split; [now apply (step_range l b Hb)|]. split; [now apply (in_range l b Hb)|].
    split; [now apply (step_moves l b Hb)|now apply (in_moves l b Hb)].
  - intros t k _. simpl. unfold F, A_bar, B_bar.
    match goal with |- Rabs ?z <= 0 => replace z with 0 by ring end. rewrite Rabs_R0. lra.
Qed.

(** It grows at most linearly, ... *)
Theorem perturbed_inputs_grow_linearly : forall l b x0 x0' u u' e0 e, admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> (forall t, fits l (reach b) (u' t)) -> 0 <= e -> 0 <= e0 ->
  (forall t, close (inputs l) e (u t) (u' t)) -> close (width l) e0 x0 x0' ->
  forall N, max_norm (width l) (deviation l x0 x0' u u' N)
    <= e0 + INR N * (kappa b (stays b (max_norm (width l) x0)) * e).
Proof.
  intros l b x0 x0' u u' e0 e Hl Hb Hu Hu' He He0 Hc H0 N.
  eapply Rle_trans; [apply (inputs_perturbed_at_every_step l b x0 x0' u u' e0 e); assumption|].
  pose proof (zeta_nonpositive l b Hb) as Hz. pose proof (pos_INR N).
  pose proof (exp_le_1 (INR N * zeta b) ltac:(nra)). pose proof (exp_pos (INR N * zeta b)).
  pose proof (geometric_grows (exp (zeta b)) N ltac:(split; [left; apply exp_pos|now apply exp_le_1])).
  pose proof (kappa_nonneg l b _ Hb (stays_nonneg l b (max_norm (width l) x0) Hb)).
  assert (0 <= kappa b (stays b (max_norm (width l) x0)) * e) by now apply Rmult_le_pos.
  apply Rplus_le_compat; [nra|].
  rewrite (Rmult_comm (INR N)). now apply Rmult_le_compat_l.
Qed.

(** ... and where ζ < 0 not at all. *)
Theorem perturbed_inputs_stay : forall l b x0 x0' u u' e0 e, admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> (forall t, fits l (reach b) (u' t)) -> 0 <= e -> 0 <= e0 ->
  (forall t, close (inputs l) e (u t) (u' t)) -> close (width l) e0 x0 x0' -> zeta b < 0 ->
  forall N, max_norm (width l) (deviation l x0 x0' u u' N)
    <= exp (INR N * zeta b) * e0 + kappa b (stays b (max_norm (width l) x0)) * e / (1 - exp (zeta b)).
Proof.
  intros l b x0 x0' u u' e0 e Hl Hb Hu Hu' He He0 Hc H0 Hz N.
  eapply Rle_trans; [apply (inputs_perturbed_at_every_step l b x0 x0' u u' e0 e); assumption|].
  apply Rplus_le_compat_l, Rmult_le_compat_l.
  - apply Rmult_le_pos; [|assumption]. apply (kappa_nonneg l); [assumption|]. eapply stays_nonneg; eassumption.
  - apply geometric_stays. split; [left; apply exp_pos|]. rewrite <- exp_0. now apply exp_increasing.
Qed.

(** The outputs: C^ times a bound on the states, and what C_t and D do with the step's own input. *)
Theorem perturbed_inputs_outputs : forall l b x0 x0' u u' d e c N, admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> (forall t, fits l (reach b) (u' t)) -> 0 <= e ->
  (forall t, close (inputs l) e (u t) (u' t)) -> (c < outputs l)%nat ->
  max_norm (width l) (deviation l x0 x0' u u' N) <= d ->
  Rabs (output l x0' u' N c - output l x0 u N c)
  <= most_out b * d + (move_out b * stays b (max_norm (width l) x0) + most_skip b) * e.
Proof.
  intros l b x0 x0' u u' d e c N Hl Hb Hu Hu' He Hc Hcc Hd.
  apply outputs_deviation; try assumption; auto.
  - eapply Rle_trans; [apply max_norm_nonneg|exact Hd].
  - intros k Hk. eapply Rle_trans; [apply (max_norm_ge _ (deviation l x0 x0' u u' N) k Hk)|exact Hd].
  - intros k Hk. eapply Rle_trans; [apply (max_norm_ge _ (state l x0 u N) k Hk)|now apply states_stay].
Qed.

(** Section 3.1.1 of the code's layer: one K for all N, and all inputs in a bounded set. *)
Theorem precision_mamba : forall m U x0, well_shaped m -> 0 <= U ->
  exists K, forall u u' e, (forall t, fits (mamba_layer m) U (u t)) -> (forall t, fits (mamba_layer m) U (u' t)) ->
    0 <= e -> (forall t, close (reads m) e (u t) (u' t)) ->
    forall N c, (c < channels m)%nat ->
      max_norm (width (mamba_layer m)) (deviation (mamba_layer m) x0 x0 u u' N) <= K * e /\
      Rabs (output (mamba_layer m) x0 u' N c - output (mamba_layer m) x0 u N c) <= K * e.
Proof.
  intros m U x0 Hm HU. set (l := mamba_layer m). set (b := mamba_constants m U).
  assert (Hl : admissible l) by now apply mamba_is_admissible.
  assert (Hb : within l b) by now apply mamba_keeps_within.
  assert (Hz : zeta b < 0) by now apply mamba_zeta_negative.
  destruct (signs l b Hb) as (_&_&_&_&_&_&HCo&HDs&_&_&HLo).
  set (X := stays b (max_norm (width l) x0)). assert (HX : 0 <= X) by (eapply stays_nonneg; eassumption).
  set (s := kappa b X / (1 - exp (zeta b))).
  assert (Hs : 0 <= s).
  { assert (exp (zeta b) < 1) by (rewrite <- exp_0; now apply exp_increasing).
    unfold s, Rdiv. apply Rmult_le_pos; [now apply (kappa_nonneg l)|]. left. apply Rinv_0_lt_compat. lra. }
  assert (Ho : 0 <= move_out b * X + most_skip b).
  { assert (0 <= move_out b * X) by (now apply Rmult_le_pos). lra. }
  exists (s + (most_out b * s + (move_out b * X + most_skip b))). intros u u' e Hu Hu' He Hc N c Hcc.
  assert (Hd : max_norm (width l) (deviation l x0 x0 u u' N) <= s * e).
  { eapply Rle_trans; [apply (perturbed_inputs_stay l b x0 x0 u u' 0 e); try assumption; try lra|].
    - intros k _. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. lra.
    - fold X. unfold s, Rdiv. right. ring. }
  assert (0 <= most_out b * s) by now apply Rmult_le_pos.
  split.
  - eapply Rle_trans; [exact Hd|]. apply Rmult_le_compat_r; lra.
  - eapply Rle_trans; [apply (perturbed_inputs_outputs l b x0 x0 u u' (s * e) e c N); assumption|].
    fold X. assert (0 <= s * e) by now apply Rmult_le_pos. lra.
Qed.

(** ** Rounding: the standard model of floating-point arithmetic *)

(** The convexity of exp between z and 0. *)
Lemma exp_below_chord : forall z t, 0 <= t <= 1 -> exp (t * z) <= t * exp z + (1 - t).
Proof.
  intros z t H. pose proof (exp_pos (t * z)).
  pose proof (exp_ge_line (z - t * z)) as H1. pose proof (exp_ge_line (- (t * z))) as H2.
  assert (E1 : exp z = exp (t * z) * exp (z - t * z)) by (rewrite <- exp_plus; f_equal; ring).
  assert (E2 : 1 = exp (t * z) * exp (- (t * z))) by (rewrite <- exp_plus, <- exp_0; f_equal; ring).
  apply Rle_trans with (exp (t * z) * (t * (1 + (z - t * z)) + (1 - t) * (1 + - (t * z)))); [right; ring|].
  rewrite E1. apply Rle_trans with
    (t * (exp (t * z) * exp (z - t * z)) + (1 - t) * (exp (t * z) * exp (- (t * z)))); [|rewrite <- E2; lra].
  assert (t * (exp (t * z) * (1 + (z - t * z))) <= t * (exp (t * z) * exp (z - t * z)))
    by (apply Rmult_le_compat_l; [lra|apply Rmult_le_compat_l; lra]).
  assert ((1 - t) * (exp (t * z) * (1 + - (t * z))) <= (1 - t) * (exp (t * z) * exp (- (t * z))))
    by (apply Rmult_le_compat_l; [lra|apply Rmult_le_compat_l; lra]).
  lra.
Qed.

(** A relative error of Δ is at most the same relative error of the gain. *)
Lemma gain_relative : forall h d a t, a <= 0 -> (h = ZeroOrderHold -> a <> 0) -> 0 <= d -> - 1 <= t ->
  Rabs (gain h (d * (1 + t)) a - gain h d a) <= Rabs t * gain h d a.
Proof.
  intros h d a t Ha Hz Hd Ht. destruct (gain_bounds h d a Ha Hz Hd) as [Hg _].
  destruct h; simpl in *.
  { replace (d * (1 + t) - d) with (t * d) by ring. rewrite Rabs_mult, (Rabs_pos_eq d) by assumption. lra. }
  specialize (Hz eq_refl). set (s := d * a). assert (Hs : s <= 0) by (unfold s; nra).
  replace (d * (1 + t) * a) with ((1 + t) * s) by (unfold s; ring).
  fold s in Hg. pose proof (exp_le_1 s Hs) as Hs1. assert (Hp : 0 < / - a) by (apply Rinv_0_lt_compat; lra).
  replace ((exp ((1 + t) * s) - 1) / a - (exp s - 1) / a)
    with ((exp s - exp ((1 + t) * s)) * / - a) by (field; lra).
  replace (Rabs t * ((exp s - 1) / a)) with (Rabs t * (1 - exp s) * / - a) by (field; lra).
  rewrite Rabs_mult, (Rabs_pos_eq (/ - a)) by lra. apply Rmult_le_compat_r; [lra|].
  destruct (Rle_dec 0 t) as [H0|H0].
  - (* exp((1+t)s) >= 1 + (1+t)(exp s - 1), from the chord of (1+t)s at 1/(1+t) *)
    pose proof (exp_below_chord ((1 + t) * s) (/ (1 + t))) as Hc.
    assert (Hi : 0 < / (1 + t)) by (apply Rinv_0_lt_compat; lra).
    assert (Hi1 : / (1 + t) <= 1) by (rewrite <- Rinv_1; apply Rinv_le_contravar; lra).
    replace (/ (1 + t) * ((1 + t) * s)) with s in Hc by (field; lra).
    specialize (Hc ltac:(lra)). apply Rmult_le_compat_l with (r := 1 + t) in Hc; [|lra].
    replace ((1 + t) * (/ (1 + t) * exp ((1 + t) * s) + (1 - / (1 + t))))
      with (exp ((1 + t) * s) + t) in Hc by (field; lra).
    assert (exp ((1 + t) * s) <= exp s) by (apply exp_mono; nra).
    rewrite !Rabs_pos_eq by lra. lra.
  - pose proof (exp_below_chord s (1 + t) ltac:(lra)) as Hc.
    assert (exp s <= exp ((1 + t) * s)) by (apply exp_mono; nra).
    rewrite !Rabs_left1 by lra. lra.
Qed.

(** Relative errors multiply up. *)
Lemma relative_product : forall p q P Q, Rabs (p - 1) <= P - 1 -> Rabs (q - 1) <= Q - 1 ->
  Rabs (p * q - 1) <= P * Q - 1.
Proof.
  intros p q P Q Hp Hq. replace (p * q - 1) with ((p - 1) * (q - 1) + ((p - 1) + (q - 1))) by ring.
  eapply Rle_trans; [apply Rabs_triang|]. rewrite Rabs_mult. pose proof (Rabs_triang (p - 1) (q - 1)).
  pose proof (Rabs_pos (p - 1)). pose proof (Rabs_pos (q - 1)).
  assert (Rabs (p - 1) * Rabs (q - 1) <= (P - 1) * (Q - 1)) by (apply Rmult_le_compat; assumption).
  lra.
Qed.

Lemma exp_relative : forall z r, Rabs z <= r -> Rabs (exp z - 1) <= exp r - 1.
Proof.
  intros z r H. apply abs_between in H. destruct (Rle_dec 0 z).
  - rewrite Rabs_pos_eq; [pose proof (exp_mono z r); lra|pose proof (exp_ge_line z); lra].
  - pose proof (exp_ge_line z). pose proof (exp_ge_line r). pose proof (exp_le_1 z ltac:(lra)).
    rewrite Rabs_left1; lra.
Qed.

(** One entry of a step as floating point computes it: every operation with a relative error, [th 0] of
    ΔA, [th 1] of exp, [th 2] of its product with x; [th 3] of the argument of the gain (ΔA again), [th 4]
    and [th 5] of the gain (expm1 and the division; Euler has none of the three), [th 6] and [th 7] of the
    products with B and u, [th 8] of the sum. No underflow. *)
Definition computed_step (l : layer) (u x : vec) (k : nat) (th : nat -> R) : R :=
  (exp (step_size l u k * A l k * (1 + th 0%nat)) * (1 + th 1%nat) * x k * (1 + th 2%nat)
   + gain (hold l) (step_size l u k * (1 + th 3%nat)) (A l k) * (1 + th 4%nat) * (1 + th 5%nat)
     * inward l u k * (1 + th 6%nat) * u (drive l k) * (1 + th 7%nat)) * (1 + th 8%nat).

(** γ = exp(α Δ^ u) (1 + u)^6 - 1: the relative error of each of the two terms, about (α Δ^ + 6) u. *)
Definition gamma (b : constants) (unit : R) : R := exp (fastest b * most b * unit) * (1 + unit) ^ 6 - 1.

Lemma gamma_nonneg : forall l b unit, within l b -> 0 <= unit -> 0 <= gamma b unit.
Proof.
  intros l b unit Hb Hu. destruct (signs l b Hb) as (_&_&Hf&_&HD&_). unfold gamma.
  pose proof (exp_ge_line (fastest b * most b * unit)).
  assert (0 <= fastest b * most b * unit) by (repeat apply Rmult_le_pos; assumption).
  assert (1 <= (1 + unit) ^ 6) by (apply pow_R1_Rle; lra). nra.
Qed.

Lemma computed_step_relative : forall l b unit u x k th, admissible l -> within l b ->
  fits l (reach b) u -> (k < width l)%nat -> 0 <= unit <= 1 -> (forall i, Rabs (th i) <= unit) ->
  exists p q, Rabs p <= gamma b unit /\ Rabs q <= gamma b unit /\
    computed_step l u x k th
    = A_bar l u k * x k * (1 + p) + B_bar l u k * u (drive l k) * (1 + q).
Proof.
  intros l b unit u x k th Hl Hb Hu Hk Hunit Hth.
  destruct (signs l b Hb) as (_&_&Hf&_&HD&_).
  destruct (A_range l b Hb k Hk) as [HA1 HA2]. destruct (step_range l b Hb u k Hu Hk) as [_ Hd1].
  pose proof (step_nonnegative l Hl u k Hk) as Hd0. pose proof (A_nonpositive l Hl k Hk) as Ha.
  assert (Haz : hold l = ZeroOrderHold -> A l k <> 0) by (intros E; now apply (A_divides l Hl E)).
  set (d := step_size l u k) in *. set (a := A l k) in *.
  assert (H1 : forall i, Rabs (1 + th i - 1) <= (1 + unit) - 1).
  { intros i. replace (1 + th i - 1) with (th i) by ring. specialize (Hth i). lra. }
  set (Q := exp (fastest b * most b * unit)).
  assert (HQ1 : 1 <= Q).
  { unfold Q. pose proof (exp_ge_line (fastest b * most b * unit)).
    assert (0 <= fastest b * most b * unit) by (repeat apply Rmult_le_pos; lra). lra. }
  assert (Hexp : Rabs (exp (d * a * th 0%nat) - 1) <= Q - 1).
  { apply exp_relative. rewrite !Rabs_mult, (Rabs_pos_eq d), (Rabs_left1 a) by assumption.
    rewrite (Rmult_comm d). apply Rmult_le_compat; [nra|apply Rabs_pos| |apply Hth].
    apply Rmult_le_compat; lra. }
  (* the gain's relative error *)
  assert (Hgain : exists g, Rabs (g - 1) <= (1 + unit) - 1 /\
    gain (hold l) (d * (1 + th 3%nat)) a = gain (hold l) d a * g).
  { pose proof (abs_between _ _ (Hth 3%nat)) as H3.
    pose proof (gain_relative (hold l) d a (th 3%nat) Ha Haz Hd0 ltac:(lra)) as Hr.
    destruct (gain_bounds (hold l) d a Ha Haz Hd0) as [[Hg|Hg] _].
    - exists (gain (hold l) (d * (1 + th 3%nat)) a / gain (hold l) d a). split; [|field; lra].
      replace (gain (hold l) (d * (1 + th 3%nat)) a / gain (hold l) d a - 1)
        with ((gain (hold l) (d * (1 + th 3%nat)) a - gain (hold l) d a) * / gain (hold l) d a) by (field; lra).
      rewrite Rabs_mult, (Rabs_pos_eq (/ _)) by (left; now apply Rinv_0_lt_compat).
      apply Rmult_le_reg_r with (gain (hold l) d a); [assumption|].
      rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra. specialize (Hth 3%nat). nra.
    - exists 1. rewrite <- Hg in *. rewrite Rmult_0_r, Rminus_0_r in Hr.
      pose proof (Rabs_pos (gain (hold l) (d * (1 + th 3%nat)) a)).
      split; [replace (1 - 1) with 0 by ring; rewrite Rabs_R0; lra|].
      destruct (Req_dec (gain (hold l) (d * (1 + th 3%nat)) a) 0) as [->|Hne]; [ring|].
      apply Rabs_pos_lt in Hne. lra. }
  destruct Hgain as (g & Hg & Eg).
  assert (Hw : 1 <= 1 + unit) by lra.
  exists (exp (d * a * th 0%nat) * (1 + th 1%nat) * (1 + th 2%nat) * (1 + th 8%nat) - 1),
    (g * (1 + th 4%nat) * (1 + th 5%nat) * (1 + th 6%nat) * (1 + th 7%nat) * (1 + th 8%nat) - 1).
  split; [|split].
  - eapply Rle_trans; [repeat apply relative_product; try apply H1; exact Hexp|].
    unfold gamma. fold Q. apply Rplus_le_compat_r.
    replace (Q * (1 + unit) * (1 + unit) * (1 + unit)) with (Q * ((1 + unit) ^ 3 * 1)) by ring.
    replace ((1 + unit) ^ 6) with ((1 + unit) ^ 3 * (1 + unit) ^ 3) by ring.
    apply Rmult_le_compat_l; [lra|]. apply Rmult_le_compat_l; [apply pow_le; lra|].
    apply pow_R1_Rle. lra.
  - eapply Rle_trans; [repeat apply relative_product; try apply H1; exact Hg|].
    unfold gamma. fold Q. apply Rplus_le_compat_r.
    replace ((1 + unit) * (1 + unit) * (1 + unit) * (1 + unit) * (1 + unit) * (1 + unit))
      with (1 * (1 + unit) ^ 6) by ring.
    apply Rmult_le_compat_r; [apply pow_le; lra|exact HQ1].
  - unfold computed_step, A_bar, B_bar. fold d. fold a. rewrite Eg.
    replace (d * a * (1 + th 0%nat)) with (d * a + d * a * th 0%nat) by ring. rewrite exp_plus. ring.
Qed.

(** |B̄_t u_t| <= G. *)
Lemma B_bar_bound : forall l b u k, admissible l -> within l b -> fits l (reach b) u -> (k < width l)%nat ->
  Rabs (B_bar l u k * u (drive l k)) <= let_in b.
Proof.
  intros l b u k Hl Hb Hu Hk. unfold B_bar, let_in. rewrite !Rabs_mult.
  destruct (gain_bounds (hold l) (step_size l u k) (A l k)) as [Hg0 Hg1];
    [now apply A_nonpositive|intros E; now apply (A_divides l Hl E)|now apply step_nonnegative|].
  destruct (step_range l b Hb u k Hu Hk) as [_ Hs].
  apply Rmult_le_compat; [apply Rmult_le_pos; apply Rabs_pos|apply Rabs_pos| |apply Hu; now apply drive_exists].
  apply Rmult_le_compat; [apply Rabs_pos|apply Rabs_pos| |now apply (in_range l b Hb)].
  rewrite Rabs_pos_eq; lra.
Qed.

(** The rounded trajectory [x'] of a layer against the exact one, given the same inputs and x_0. *)
Theorem rounding_standard_model : forall l b unit x0 u x', admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> 0 <= unit <= 1 ->
  (forall k, (k < width l)%nat -> x' O k = x0 k) ->
  (forall t k, (k < width l)%nat -> exists th, (forall i, Rabs (th i) <= unit) /\
     x' (S t) k = computed_step l (u (S t)) (x' t) k th) ->
  forall N, max_norm (width l) (fun k => x' N k - state l x0 u N k)
    <= gamma b unit * (stays b (max_norm (width l) x0) + let_in b)
       * geometric ((1 + gamma b unit) * exp (zeta b)) N.
Proof.
  intros l b unit x0 u x' Hl Hb Hu Hunit H0 Hx' N.
  set (X := stays b (max_norm (width l) x0)). set (g := gamma b unit).
  assert (Hg : 0 <= g) by (eapply gamma_nonneg; [eassumption|lra]).
  destruct (signs l b Hb) as (HU&_&_&_&HD&HB&_).
  assert (HG : 0 <= let_in b) by (unfold let_in; repeat apply Rmult_le_pos; assumption).
  assert (HX : 0 <= X) by (eapply stays_nonneg; eassumption).
  set (E := fun n => max_norm (width l) (fun k => x' n k - state l x0 u n k)).
  assert (Hq : 0 <= (1 + g) * exp (zeta b)) by (apply Rmult_le_pos; [lra|left; apply exp_pos]).
  assert (HE : forall n, E (S n) <= (1 + g) * exp (zeta b) * E n + g * (X + let_in b)).
  { intros n. assert (HEn : 0 <= E n) by apply max_norm_nonneg. apply max_norm_le.
    { assert (0 <= g * (X + let_in b)) by (apply Rmult_le_pos; lra).
      assert (0 <= (1 + g) * exp (zeta b) * E n) by now apply Rmult_le_pos. lra. }
    intros k Hk. destruct (Hx' n k Hk) as (th & Hth & ->).
    destruct (computed_step_relative l b unit (u (S n)) (x' n) k th Hl Hb (Hu (S n)) Hk Hunit Hth)
      as (p & q & Hp & Hqq & ->). fold g in Hp, Hqq.
    simpl. unfold F. pose proof (A_bar_le l b (u (S n)) k Hb (Hu (S n)) Hk) as HAb.
    destruct (A_bar_at_most_1 l (u (S n)) k Hl Hk) as [HA0 HA1].
    set (ab := A_bar l (u (S n)) k) in *. set (w := B_bar l (u (S n)) k * u (S n) (drive l k)).
    assert (Hw : Rabs w <= let_in b) by (apply B_bar_bound; auto).
    assert (Hxn : Rabs (state l x0 u n k) <= X).
    { eapply Rle_trans; [apply (max_norm_ge _ (state l x0 u n) k Hk)|now apply states_stay]. }
    assert (Hdx : Rabs (x' n k - state l x0 u n k) <= E n)
      by apply (max_norm_ge _ (fun k => x' n k - state l x0 u n k) k Hk).
    replace (ab * x' n k * (1 + p) + w * (1 + q) - (ab * state l x0 u n k + w))
      with (ab * (1 + p) * (x' n k - state l x0 u n k) + (p * (ab * state l x0 u n k) + q * w)) by ring.
    eapply Rle_trans; [apply Rabs_triang|]. apply Rplus_le_compat.
    - rewrite !Rabs_mult, (Rabs_pos_eq ab) by lra.
      assert (Hp1 : Rabs (1 + p) <= 1 + g).
      { eapply Rle_trans; [apply Rabs_triang|]. rewrite Rabs_R1. lra. }
      pose proof (exp_pos (zeta b)).
      rewrite (Rmult_comm (1 + g)). apply Rmult_le_compat; [|apply Rabs_pos| |exact Hdx].
      + apply Rmult_le_pos; [lra|apply Rabs_pos].
      + apply Rmult_le_compat; [lra|apply Rabs_pos|exact HAb|exact Hp1].
    - eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_mult, (Rabs_pos_eq ab) by lra.
      assert (Rabs p * (ab * Rabs (state l x0 u n k)) <= g * X).
      { apply Rmult_le_compat; [apply Rabs_pos| |assumption|].
        - apply Rmult_le_pos; [lra|apply Rabs_pos].
        - pose proof (Rabs_pos (state l x0 u n k)). nra. }
      assert (Rabs q * Rabs w <= g * let_in b)
        by (apply Rmult_le_compat; try apply Rabs_pos; assumption).
      lra. }
  pose proof (recursion E _ _ Hq HE N) as HR.
  assert (HE0 : E O = 0).
  { apply Rle_antisym; [|apply max_norm_nonneg]. apply max_norm_le; [lra|]. intros k Hk.
    simpl. rewrite (H0 k Hk), Rminus_diag_eq, Rabs_R0 by reflexivity. lra. }
  rewrite HE0, Rmult_0_r, Rplus_0_l in HR. exact HR.
Qed.

(** A bound that grows with N, with no lower bound on Δ: γ (X + G) (1 + ... + (1+γ)^(N-1)). *)
Theorem rounding_grows : forall l b unit x0 u x', admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> 0 <= unit <= 1 ->
  (forall k, (k < width l)%nat -> x' O k = x0 k) ->
  (forall t k, (k < width l)%nat -> exists th, (forall i, Rabs (th i) <= unit) /\
     x' (S t) k = computed_step l (u (S t)) (x' t) k th) ->
  forall N, max_norm (width l) (fun k => x' N k - state l x0 u N k)
    <= ((1 + gamma b unit) ^ N - 1) * (stays b (max_norm (width l) x0) + let_in b).
Proof.
  intros l b unit x0 u x' Hl Hb Hu Hunit H0 Hx' N.
  eapply Rle_trans; [apply (rounding_standard_model l b unit x0 u x'); assumption|].
  set (X := stays b (max_norm (width l) x0)). set (g := gamma b unit).
  assert (Hg : 0 <= g) by (eapply gamma_nonneg; [eassumption|lra]).
  destruct (signs l b Hb) as (HU&_&_&_&HD&HB&_).
  assert (HG : 0 <= let_in b) by (unfold let_in; repeat apply Rmult_le_pos; assumption).
  assert (HX : 0 <= X) by (eapply stays_nonneg; eassumption).
  pose proof (exp_le_1 _ (zeta_nonpositive l b Hb)). pose proof (exp_pos (zeta b)).
  assert (geometric ((1 + g) * exp (zeta b)) N <= geometric (1 + g) N).
  { apply sum_le. intros i _. apply pow_incr. split; [apply Rmult_le_pos; lra|]. nra. }
  pose proof (geometric_closed (1 + g) N) as Hc.
  replace (g * (X + let_in b) * geometric ((1 + g) * exp (zeta b)) N)
    with (g * geometric ((1 + g) * exp (zeta b)) N * (X + let_in b)) by ring.
  apply Rmult_le_compat_r; [lra|]. nra.
Qed.

(** The constant it converges to where Δ is bounded below and u is small against it. *)
Theorem rounding_stays : forall l b unit x0 u x', admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> 0 <= unit <= 1 ->
  (forall k, (k < width l)%nat -> x' O k = x0 k) ->
  (forall t k, (k < width l)%nat -> exists th, (forall i, Rabs (th i) <= unit) /\
     x' (S t) k = computed_step l (u (S t)) (x' t) k th) ->
  (1 + gamma b unit) * exp (zeta b) < 1 ->
  forall N, max_norm (width l) (fun k => x' N k - state l x0 u N k)
    <= gamma b unit * (stays b (max_norm (width l) x0) + let_in b) / (1 - (1 + gamma b unit) * exp (zeta b)).
Proof.
  intros l b unit x0 u x' Hl Hb Hu Hunit H0 Hx' Hq N.
  eapply Rle_trans; [apply (rounding_standard_model l b unit x0 u x'); assumption|].
  assert (Hg : 0 <= gamma b unit) by (eapply gamma_nonneg; [eassumption|lra]).
  destruct (signs l b Hb) as (HU&_&_&_&HD&HB&_).
  assert (HG : 0 <= let_in b) by (unfold let_in; repeat apply Rmult_le_pos; assumption).
  pose proof (stays_nonneg l b (max_norm (width l) x0) Hb).
  apply Rmult_le_compat_l; [apply Rmult_le_pos; lra|].
  apply geometric_stays. split; [|assumption]. apply Rmult_le_pos; [lra|left; apply exp_pos].
Qed.

(** After the fact: where the rounded states are seen to stay within X', growth is linear, and the constant
    is there with no condition on u. *)
Theorem rounding_seen : forall l b unit x0 u x' Xr, admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> 0 <= unit <= 1 ->
  (forall k, (k < width l)%nat -> x' O k = x0 k) ->
  (forall t k, (k < width l)%nat -> exists th, (forall i, Rabs (th i) <= unit) /\
     x' (S t) k = computed_step l (u (S t)) (x' t) k th) ->
  0 <= Xr -> (forall t, max_norm (width l) (x' t) <= Xr) ->
  forall N, let error := max_norm (width l) (fun k => x' N k - state l x0 u N k) in
    error <= INR N * (gamma b unit * (Xr + let_in b)) /\
    (zeta b < 0 -> error <= gamma b unit * (Xr + let_in b) / (1 - exp (zeta b))).
Proof.
  intros l b unit x0 u x' Xr Hl Hb Hu Hunit H0 Hx' HXr Hsmall N.
  destruct (signs l b Hb) as (HU&Ha&_&Hd&HD&HB&_).
  assert (Hg : 0 <= gamma b unit) by (eapply gamma_nonneg; [eassumption|lra]).
  assert (HG : 0 <= let_in b) by (apply Rmult_le_pos; [now apply Rmult_le_pos|assumption]).
  pose proof (absolute_errors l x0 u x' (slowest b) (least b) (gamma b unit * (Xr + let_in b)) Hl
    ltac:(lra) Hd ltac:(apply Rmult_le_pos; lra)) as HE.
  assert (Hlocal : forall t k, (k < width l)%nat ->
    Rabs (x' (S t) k - F l (x' t) (u (S t)) k) <= gamma b unit * (Xr + let_in b)).
  { intros t k Hk. destruct (Hx' t k Hk) as (th & Hth & ->).
    destruct (computed_step_relative l b unit (u (S t)) (x' t) k th Hl Hb (Hu (S t)) Hk Hunit Hth)
      as (p & q & Hp & Hq & ->).
    pose proof (B_bar_bound l b (u (S t)) k Hl Hb (Hu (S t)) Hk) as Hw.
    destruct (A_bar_at_most_1 l (u (S t)) k Hl Hk) as [HA0 HA1].
    assert (Hxk : Rabs (x' t k) <= Xr)
      by (eapply Rle_trans; [apply (max_norm_ge _ (x' t) k Hk)|apply Hsmall]).
    unfold F. set (w := B_bar l (u (S t)) k * u (S t) (drive l k)) in *. set (ab := A_bar l (u (S t)) k) in *.
    replace (ab * x' t k * (1 + p) + w * (1 + q) - (ab * x' t k + w)) with (p * (ab * x' t k) + q * w) by ring.
    eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_mult, (Rabs_pos_eq ab) by lra.
    pose proof (Rabs_pos (x' t k)).
    assert (Rabs p * (ab * Rabs (x' t k)) <= gamma b unit * Xr)
      by (apply Rmult_le_compat; [apply Rabs_pos|nra|assumption|nra]).
    assert (Rabs q * Rabs w <= gamma b unit * let_in b)
      by (apply Rmult_le_compat; try apply Rabs_pos; assumption).
    lra. }
  destruct (HE (fun k Hk => proj2 (A_range l b Hb k Hk))
    (fun t k Hk => proj1 (step_range l b Hb (u (S t)) k (Hu (S t)) Hk)) H0 Hlocal N) as [H1 H2].
  split; [exact H1|]. intros Hz. unfold zeta in *. apply H2. lra.
Qed.

(** γ is at most u times its value at u = 1. *)
Lemma gamma_linear : forall l b unit, within l b -> 0 <= unit <= 1 -> gamma b unit <= unit * gamma b 1.
Proof.
  intros l b unit Hb Hu. destruct (signs l b Hb) as (_&_&Hf&_&HD&_). unfold gamma.
  set (c := fastest b * most b). assert (Hc : 0 <= c) by (now apply Rmult_le_pos).
  rewrite Rmult_1_r, (Rmult_comm c unit). set (p := exp c - 1).
  assert (Hp : 0 <= p) by (pose proof (exp_ge_line c); unfold p; lra).
  pose proof (exp_below_chord c unit Hu) as H1. pose proof (exp_pos (unit * c)).
  assert (H2 : (1 + unit) ^ 6 <= 1 + unit * 63).
  { assert (Hpow : forall k, unit ^ S k <= unit).
    { induction k as [|k IH]; [simpl; lra|]. change (unit * unit ^ S k <= unit).
      assert (0 <= unit ^ S k) by (apply pow_le; lra). nra. }
    replace ((1 + unit) ^ 6) with (1 + 6 * unit ^ 1 + 15 * unit ^ 2 + 20 * unit ^ 3 + 15 * unit ^ 4
      + 6 * unit ^ 5 + unit ^ 6) by ring.
    pose proof (Hpow 0%nat). pose proof (Hpow 1%nat). pose proof (Hpow 2%nat).
    pose proof (Hpow 3%nat). pose proof (Hpow 4%nat). pose proof (Hpow 5%nat). lra. }
  apply Rle_trans with ((1 + unit * p) * (1 + unit * 63) - 1).
  - apply Rplus_le_compat_r. apply Rmult_le_compat; [lra|apply pow_le; lra|unfold p; lra|exact H2].
  - replace ((1 + 1) ^ 6) with 64 by ring. replace (exp c) with (1 + p) by (unfold p; ring).
    assert (unit * unit * p <= unit * p) by (apply Rmult_le_compat_r; [assumption|nra]). nra.
Qed.

(** Of the code's layer: below some unit round-off u_0 all errors stay within K u, for all N and all
    inputs in a bounded set. u_0 = (exp(a δ) - 1) / (2 γ(1)), K = 2 γ(1) (X + G) / (1 - exp(-a δ)). *)
Theorem rounding_mamba : forall m U x0, well_shaped m -> 0 <= U -> exists u0 K, 0 < u0 /\
  forall unit u x', 0 <= unit <= u0 -> unit <= 1 -> (forall t, fits (mamba_layer m) U (u t)) ->
    let l := mamba_layer m in
    (forall k, (k < width l)%nat -> x' O k = x0 k) ->
    (forall t k, (k < width l)%nat -> exists th, (forall i, Rabs (th i) <= unit) /\
       x' (S t) k = computed_step l (u (S t)) (x' t) k th) ->
    forall N, max_norm (width l) (fun k => x' N k - state l x0 u N k) <= K * unit.
Proof.
  intros m U x0 Hm HU. set (l := mamba_layer m). set (b := mamba_constants m U).
  assert (Hl : admissible l) by now apply mamba_is_admissible.
  assert (Hb : within l b) by now apply mamba_keeps_within.
  assert (Hz : zeta b < 0) by now apply mamba_zeta_negative.
  assert (Hq : exp (zeta b) < 1) by (rewrite <- exp_0; now apply exp_increasing).
  assert (Hqi : exp (zeta b) * exp (- zeta b) = 1) by (rewrite <- exp_plus, <- exp_0; f_equal; ring).
  pose proof (exp_pos (zeta b)) as Hq0.
  assert (Hq1 : 1 < exp (- zeta b)) by nra.
  set (g1 := gamma b 1).
  assert (Hg1 : 63 <= g1).
  { destruct (signs l b Hb) as (_&_&Hf&_&HD&_). unfold g1, gamma.
    pose proof (exp_ge_line (fastest b * most b * 1)).
    assert (0 <= fastest b * most b) by now apply Rmult_le_pos.
    replace ((1 + 1) ^ 6) with 64 by ring. lra. }
  set (R0 := stays b (max_norm (width l) x0) + let_in b).
  assert (HR0 : 0 <= R0).
  { destruct (signs l b Hb) as (HU'&_&_&_&HD&HB&_). pose proof (stays_nonneg l b (max_norm (width l) x0) Hb).
    assert (0 <= let_in b) by (apply Rmult_le_pos; [now apply Rmult_le_pos|assumption]). unfold R0. lra. }
  exists ((exp (- zeta b) - 1) / (2 * g1)), (2 * g1 * R0 / (1 - exp (zeta b))).
  split; [apply Rdiv_lt_0_compat; lra|].
  intros unit u x' Hu0 Hu1 Hu l' H0 Hx' N. change l' with l in *. clear l'.
  pose proof (gamma_linear l b unit Hb (conj (proj1 Hu0) Hu1)) as Hlin. fold g1 in Hlin.
  pose proof (gamma_nonneg l b unit Hb (proj1 Hu0)) as Hg.
  assert (Hhalf : unit * g1 <= (exp (- zeta b) - 1) / 2).
  { replace ((exp (- zeta b) - 1) / 2) with ((exp (- zeta b) - 1) / (2 * g1) * g1) by (field; lra).
    apply Rmult_le_compat_r; lra. }
  assert (Hrate : (1 + gamma b unit) * exp (zeta b) <= (1 + exp (zeta b)) / 2) by nra.
  eapply Rle_trans; [apply (rounding_stays l b unit x0 u x'); try assumption; lra|].
  fold R0. unfold Rdiv.
  replace (2 * g1 * R0 * / (1 - exp (zeta b)) * unit)
    with (unit * g1 * R0 * / ((1 - exp (zeta b)) / 2)) by (field; lra).
  apply Rmult_le_compat.
  - now apply Rmult_le_pos.
  - left. apply Rinv_0_lt_compat. lra.
  - now apply Rmult_le_compat_r.
  - apply Rinv_le_contravar; lra.
Qed.

(** The outputs of a trajectory that is within [d] of the exact one, read out with an error of at most
    [rho]: rounding of the read-out is not carried on. *)
Theorem rounded_outputs : forall l b x0 u x' y' c N d rho, within l b -> fits l (reach b) (u N) ->
  (c < outputs l)%nat -> max_norm (width l) (fun k => x' k - state l x0 u N k) <= d ->
  Rabs (y' - read_out l x' (u N) c) <= rho ->
  Rabs (y' - output l x0 u N c) <= most_out b * d + rho.
Proof.
  intros l b x0 u x' y' c N d rho Hb Hu Hc Hd Hy.
  replace (y' - output l x0 u N c)
    with ((y' - read_out l x' (u N) c) + (read_out l x' (u N) c - read_out l (state l x0 u N) (u N) c))
    by (unfold output; ring).
  eapply Rle_trans; [apply Rabs_triang|].
  assert (Rabs (read_out l x' (u N) c - read_out l (state l x0 u N) (u N) c) <= most_out b * d).
  { eapply Rle_trans; [apply same_input_outputs with (d := d)|].
    - intros k Hk. eapply Rle_trans; [|exact Hd].
      apply (max_norm_ge _ (fun k => x' k - state l x0 u N k) k Hk).
    - apply Rmult_le_compat_r; [eapply Rle_trans; [apply max_norm_nonneg|exact Hd]|].
      now apply (out_range l b Hb). }
  lra.
Qed.

(** ** Counterexample: where λ = 0, errors may add up without bound *)

(** The layer of Decreasing.v (A = -1, Δ_t > 0, λ_max = 0), an error of ρ in each step: more than N ρ / 2
    after N steps. Linear, not exponential: the sentence of Section 3.1.1 stands, a constant does not. *)
Theorem errors_may_add_up : exists m u, well_shaped m /\
  Un_cv (exponent (mamba_layer m) u) 0 /\
  forall rho x0, 0 < rho -> exists x', x' O = x0 /\
    let l := mamba_layer m in
    (forall t k, x' (S t) k = F l (x' t) (u (S t)) k + rho) /\
    forall N, INR N * rho / 2 <= x' N O - state l x0 u N O.
Proof.
  exists (driven 1), (driving vanishing). set (l := mamba_layer (driven 1)). set (u := driving vanishing).
  split; [apply driven_shape; lia|]. split; [apply vanishing_exponent|].
  intros rho x0 Hrho.
  exists (fix x' t := match t with O => x0 | S s => fun k => F l (x' s) (u (S s)) k + rho end).
  set (x' := fix x' t := match t with O => x0 | S s => fun k => F l (x' s) (u (S s)) k + rho end).
  split; [reflexivity|]. split; [reflexivity|]. intros N.
  assert (Hscaled : forall n, INR n * rho <= (x' n O - state l x0 u n O) * exp (vanishing_total n)).
  { induction n as [|n IH].
    - simpl. replace (x0 0%nat - x0 0%nat) with 0 by ring. lra.
    - simpl x'. simpl state. rewrite S_INR.
      replace (F l (x' n) (u (S n)) 0%nat + rho - F l (state l x0 u n) (u (S n)) 0%nat)
        with (A_bar l (u (S n)) O * (x' n O - state l x0 u n O) + rho)
        by (rewrite <- (step_linear l (state l x0 u n) (x' n)); ring).
      assert (E : A_bar l (u (S n)) O = exp (- (vanishing_total (S n) - vanishing_total n))).
      { unfold A_bar, l, u. rewrite driven_A, driven_step by (try apply vanishing_pos; lia).
        f_equal. unfold vanishing. rewrite Nat.sub_succ, Nat.sub_0_r. ring. }
      rewrite E. set (dx := x' n 0%nat - state l x0 u n 0%nat) in *.
      replace ((exp (- (vanishing_total (S n) - vanishing_total n)) * dx + rho) * exp (vanishing_total (S n)))
        with (dx * (exp (- (vanishing_total (S n) - vanishing_total n)) * exp (vanishing_total (S n)))
              + rho * exp (vanishing_total (S n))) by ring.
      rewrite <- exp_plus.
      replace (- (vanishing_total (S n) - vanishing_total n) + vanishing_total (S n))
        with (vanishing_total n) by ring.
      assert (1 <= exp (vanishing_total (S n))).
      { unfold vanishing_total. pose proof (pos_INR (S n)). rewrite exp_ln by (apply Rdiv_lt_0_compat; lra).
        apply Rmult_le_reg_r with (INR (S n) + 2); [lra|].
        replace (2 * (INR (S n) + 1) / (INR (S n) + 2) * (INR (S n) + 2)) with (2 * (INR (S n) + 1))
          by (field; lra). lra. }
      nra. }
  specialize (Hscaled N).
  assert (Hle2 : exp (vanishing_total N) <= 2).
  { unfold vanishing_total. pose proof (pos_INR N). rewrite exp_ln by (apply Rdiv_lt_0_compat; lra).
    apply Rmult_le_reg_r with (INR N + 2); [lra|].
    replace (2 * (INR N + 1) / (INR N + 2) * (INR N + 2)) with (2 * (INR N + 1)) by (field; lra). lra. }
  pose proof (exp_pos (vanishing_total N)). pose proof (pos_INR N).
  assert (0 <= x' N O - state l x0 u N O) by (apply Rnot_lt_le; intros Hneg; nra).
  nra.
Qed.
