(** The constants of the theorems: of any layer whose inputs stay in a bounded set, and of the
    code's layer in terms of its weights.

    Paper v2 leaves them in "O(ε exp(Nζ))" (Section 3.1; Appendices B and C). Nothing here depends
    on N, on t or on the sequence of inputs. *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis Lyapunov.Model.
Local Open Scope R_scope.

(** |u[j]| <= U for every entry; |u'[j] - u[j]| <= e for every entry. *)
Definition fits (l : layer) (U : R) (u : vec) : Prop := forall j, (j < inputs l)%nat -> Rabs (u j) <= U.
Definition close (n : nat) (e : R) (v v' : vec) : Prop :=
  forall k, (k < n)%nat -> Rabs (v' k - v k) <= e.

Record constants := Constants {
  reach : R;                    (** U: inputs satisfy |u_t[j]| <= U *)
  slowest : R;                  (** a: A[k] <= -a *)
  fastest : R;                  (** α: |A[k]| <= α *)
  least : R;                    (** δ: Δ_t[k] >= δ; 0 where nothing better is known *)
  most : R;                     (** Δ_t[k] <= Δ^ *)
  most_in : R;                  (** |B_t[k]| <= B^ *)
  most_out : R;                 (** Σ_k |C_t[c,k]| <= C^ *)
  most_skip : R;                (** |D[c]| <= D^ *)
  move_step : R;                (** |Δ(u')[k] - Δ(u)[k]| <= L_Δ max_j |u'[j] - u[j]| *)
  move_in : R;                  (** |B(u')[k] - B(u)[k]| <= L_B max_j |u'[j] - u[j]| *)
  move_out : R                  (** Σ_k |C(u')[c,k] - C(u)[c,k]| <= L_C max_j |u'[j] - u[j]| *)
}.

(** The layer [l] keeps within the constants [b] while its inputs stay in the set |u| <= U. *)
Record within (l : layer) (b : constants) : Prop := {
  signs : 0 <= reach b /\ 0 < slowest b /\ 0 <= fastest b /\ 0 <= least b /\ 0 <= most b /\
    0 <= most_in b /\ 0 <= most_out b /\ 0 <= most_skip b /\
    0 <= move_step b /\ 0 <= move_in b /\ 0 <= move_out b;
  A_range : forall k, (k < width l)%nat -> - fastest b <= A l k <= - slowest b;
  step_range : forall u k, fits l (reach b) u -> (k < width l)%nat ->
    least b <= step_size l u k <= most b;
  in_range : forall u k, fits l (reach b) u -> (k < width l)%nat -> Rabs (inward l u k) <= most_in b;
  out_range : forall u c, fits l (reach b) u -> (c < outputs l)%nat ->
    sum (width l) (fun k => Rabs (outward l u c k)) <= most_out b;
  skip_range : forall c, (c < outputs l)%nat -> Rabs (skip l c) <= most_skip b;
  step_moves : forall u u' e k, fits l (reach b) u -> fits l (reach b) u' ->
    close (inputs l) e u u' -> 0 <= e -> (k < width l)%nat ->
    Rabs (step_size l u' k - step_size l u k) <= move_step b * e;
  in_moves : forall u u' e k, fits l (reach b) u -> fits l (reach b) u' ->
    close (inputs l) e u u' -> 0 <= e -> (k < width l)%nat ->
    Rabs (inward l u' k - inward l u k) <= move_in b * e;
  out_moves : forall u u' e c, fits l (reach b) u -> fits l (reach b) u' ->
    close (inputs l) e u u' -> 0 <= e -> (c < outputs l)%nat ->
    sum (width l) (fun k => Rabs (outward l u' c k - outward l u c k)) <= move_out b * e
}.

(** ζ = -a δ. *)
Definition zeta (b : constants) : R := - (slowest b * least b).

(** G: what one step lets in, |B̄_t u_t| <= Δ^ B^ U. *)
Definition let_in (b : constants) : R := most b * most_in b * reach b.

(** X: where the states stay, given |x_0[k]| <= X_0. *)
Definition stays (b : constants) (X0 : R) : R :=
  Rmax X0 ((/ slowest b + most b) * most_in b * reach b).

(** κ: what a perturbation of the input by e adds in its own step is at most κ e, through Δ, B and
    u itself, where |x_{t-1}| <= X. *)
Definition kappa (b : constants) (X : R) : R :=
  fastest b * move_step b * X + move_step b * most_in b * reach b
  + most b * (move_in b * reach b + most_in b).

Lemma zeta_nonpositive : forall l b, within l b -> zeta b <= 0.
Proof. intros l b H. destruct (signs l b H). unfold zeta. nra. Qed.

Lemma kappa_nonneg : forall l b X, within l b -> 0 <= X -> 0 <= kappa b X.
Proof.
  intros l b X H HX. destruct (signs l b H) as (?&?&?&?&?&?&?&?&?&?&?). unfold kappa.
  assert (0 <= fastest b * move_step b * X) by (repeat apply Rmult_le_pos; assumption).
  assert (0 <= move_step b * most_in b * reach b) by (repeat apply Rmult_le_pos; assumption).
  assert (0 <= most b * (move_in b * reach b + most_in b)).
  { apply Rmult_le_pos; [assumption|]. assert (0 <= move_in b * reach b) by (now apply Rmult_le_pos). lra. }
  lra.
Qed.

Lemma stays_nonneg : forall l b X0, within l b -> 0 <= stays b X0.
Proof.
  intros l b X0 H. destruct (signs l b H) as (?&?&?&?&?&?&?&?&?&?&?). unfold stays.
  assert (0 < / slowest b) by now apply Rinv_0_lt_compat.
  eapply Rle_trans; [|apply Rmax_r]. repeat apply Rmult_le_pos; lra.
Qed.

(** ** The constants of the code's layer *)

(** |W[i]|_1, and the largest such row norm among the rows that the state entries read. *)
Definition row (J : nat) (W : mat) (i : nat) : R := sum J (fun j => Rabs (W i j)).

Definition step_rows (m : mamba) : R := largest (channels m) (row (reads m) (W_step m)).
Definition in_rows (m : mamba) : R :=
  largest (channels m) (fun c => largest (entries m) (row (reads m) (W_in m c))).
Definition out_rows (m : mamba) : R :=
  largest (channels m) (fun c => sum (entries m) (row (reads m) (W_out m c))).
Definition bias_size (m : mamba) : R := largest (channels m) (fun c => Rabs (bias m c)).
Definition decay_of (m : mamba) (k : nat) : R := exp (A_log m (channel m k) (entry m k)).

Definition mamba_constants (m : mamba) (U : R) : constants := {|
  reach := U;
  slowest := / largest (channels m * entries m) (fun k => / decay_of m k);
  fastest := largest (channels m * entries m) (decay_of m);
  least := softplus (- (step_rows m * U + bias_size m));
  most := softplus (step_rows m * U + bias_size m);
  most_in := in_rows m * U;
  most_out := out_rows m * U;
  most_skip := largest (channels m) (fun c => Rabs (D_skip m c));
  move_step := step_rows m;
  move_in := in_rows m;
  move_out := out_rows m
|}.

(** |(W u)[i]| <= |W[i]|_1 max_j |u[j]|. *)
Lemma row_bounds : forall J W i u e, 0 <= e -> (forall j, (j < J)%nat -> Rabs (u j) <= e) ->
  Rabs (apply J W u i) <= row J W i * e.
Proof.
  intros J W i u e He H. eapply Rle_trans; [apply sum_abs|]. unfold row. rewrite <- sum_scale_r.
  apply sum_le. intros j Hj. rewrite Rabs_mult. specialize (H j Hj).
  pose proof (Rabs_pos (W i j)). nra.
Qed.

Lemma row_moves : forall J W i u u' e, 0 <= e -> close J e u u' ->
  Rabs (apply J W u' i - apply J W u i) <= row J W i * e.
Proof.
  intros J W i u u' e He H. unfold apply. rewrite <- sum_minus.
  rewrite (sum_ext J _ (fun j => W i j * (u' j - u j))) by (intros; lra).
  exact (row_bounds J W i (fun j => u' j - u j) e He H).
Qed.

(** The constants hold, and δ > 0: on a bounded set softplus is bounded below, so that ζ < 0. *)
Theorem mamba_keeps_within : forall m U, well_shaped m -> 0 <= U ->
  within (mamba_layer m) (mamba_constants m U).
Proof.
  intros m U Hm HU. pose proof Hm as (Hc & He & Hr).
  assert (Hch : forall k, (k < channels m * entries m)%nat -> (channel m k < channels m)%nat).
  { intros k Hk. apply Nat.div_lt_upper_bound; lia. }
  assert (Hen : forall k, (entry m k < entries m)%nat) by (intros; apply Nat.mod_upper_bound; lia).
  assert (Hstep : forall k, (k < channels m * entries m)%nat ->
    row (reads m) (W_step m) (channel m k) <= step_rows m).
  { intros k Hk. apply (largest_ge (channels m) (row (reads m) (W_step m))), Hch, Hk. }
  assert (Hin : forall k, (k < channels m * entries m)%nat ->
    row (reads m) (W_in m (channel m k)) (entry m k) <= in_rows m).
  { intros k Hk. eapply Rle_trans;
      [apply (largest_ge (entries m) (row (reads m) (W_in m (channel m k)))), Hen|].
    apply (largest_ge (channels m) (fun c => largest (entries m) (row (reads m) (W_in m c)))), Hch, Hk. }
  assert (Hout : forall f c e, (c < channels m)%nat ->
    (forall n, (n < entries m)%nat -> Rabs (f n) <= row (reads m) (W_out m c) n * e) -> 0 <= e ->
    sum (channels m * entries m) (fun k => Rabs (if Nat.eqb c (channel m k) then f (entry m k) else 0))
    <= out_rows m * e).
  { intros f c e Hcc Hf Hee.
    rewrite (sum_ext _ _ (fun k => if Nat.eqb c (k / entries m) then Rabs (f (k mod entries m)%nat) else 0)).
    2:{ intros k _. unfold channel, entry. destruct (Nat.eqb c (k / entries m)); [|rewrite Rabs_R0]; reflexivity. }
    rewrite (sum_of_channel (channels m) (entries m) c (fun _ n => Rabs (f n)) He).
    rewrite (proj2 (Nat.ltb_lt c (channels m)) Hcc).
    apply Rle_trans with (sum (entries m) (row (reads m) (W_out m c)) * e).
    - rewrite <- sum_scale_r. apply sum_le. exact Hf.
    - apply Rmult_le_compat_r; [assumption|].
      apply (largest_ge (channels m) (fun c => sum (entries m) (row (reads m) (W_out m c)))), Hcc. }
  assert (Hraw : forall u k, fits (mamba_layer m) U u -> (k < channels m * entries m)%nat ->
    Rabs (apply (reads m) (W_step m) u (channel m k) + bias m (channel m k))
    <= step_rows m * U + bias_size m).
  { intros u k Hu Hk. eapply Rle_trans; [apply Rabs_triang|].
    pose proof (row_bounds (reads m) (W_step m) (channel m k) u U HU Hu).
    pose proof (Hstep k Hk).
    pose proof (largest_ge (channels m) (fun c => Rabs (bias m c)) (channel m k) (Hch k Hk)).
    unfold bias_size. nra. }
  assert (Hdec : forall k, 0 < decay_of m k) by (intros; apply exp_pos).
  assert (Hslow : 0 < largest (channels m * entries m) (fun k => / decay_of m k)).
  { eapply Rlt_le_trans; [apply (Rinv_0_lt_compat _ (Hdec 0%nat))|].
    apply (largest_ge _ (fun k => / decay_of m k)). nia. }
  assert (0 <= in_rows m) by apply largest_nonneg. assert (0 <= out_rows m) by apply largest_nonneg.
  assert (0 <= step_rows m) by apply largest_nonneg.
  split; simpl.
  - repeat split; try assumption; try apply largest_nonneg; try (left; apply softplus_pos).
    + now apply Rinv_0_lt_compat.
    + nra.
    + nra.
  - intros k Hk. fold (decay_of m k). split.
    + apply Ropp_le_contravar, (largest_ge _ (decay_of m) k Hk).
    + apply Ropp_le_contravar. rewrite <- (Rinv_inv (decay_of m k)).
      apply Rinv_le_contravar; [now apply Rinv_0_lt_compat|].
      apply (largest_ge _ (fun k => / decay_of m k) k Hk).
  - intros u k Hu Hk. specialize (Hraw u k Hu Hk).
    split; apply softplus_mono; apply abs_between in Hraw; lra.
  - intros u k Hu Hk. eapply Rle_trans; [apply (row_bounds _ _ _ u U HU Hu)|].
    apply Rmult_le_compat_r; [assumption|now apply Hin].
  - intros u c Hu Hcc. apply Hout; [assumption| |assumption].
    intros n _. now apply row_bounds.
  - intros c Hcc. apply (largest_ge (channels m) (fun c => Rabs (D_skip m c)) c Hcc).
  - intros u u' e k _ _ Hclose Hee Hk. eapply Rle_trans; [apply softplus_lipschitz|].
    pose proof (row_moves (reads m) (W_step m) (channel m k) u u' e Hee Hclose).
    pose proof (Hstep k Hk).
    match goal with |- Rabs ?x <= _ => replace x with
      (apply (reads m) (W_step m) u' (channel m k) - apply (reads m) (W_step m) u (channel m k)) by lra end.
    nra.
  - intros u u' e k _ _ Hclose Hee Hk.
    pose proof (row_moves (reads m) (W_in m (channel m k)) (entry m k) u u' e Hee Hclose).
    pose proof (Hin k Hk). nra.
  - intros u u' e c _ _ Hclose Hee Hcc.
    rewrite (sum_ext _ _ (fun k => Rabs (if Nat.eqb c (channel m k)
      then apply (reads m) (W_out m c) u' (entry m k) - apply (reads m) (W_out m c) u (entry m k) else 0))).
    2:{ intros k _. destruct (Nat.eqb c (channel m k)); f_equal; lra. }
    apply (Hout (fun n => apply (reads m) (W_out m c) u' n - apply (reads m) (W_out m c) u n) c e Hcc);
      [|assumption]. intros n _. now apply row_moves.
Qed.

(** On a bounded set of inputs every Mamba layer has ζ < 0. *)
Theorem mamba_zeta_negative : forall m U, well_shaped m -> 0 <= U -> zeta (mamba_constants m U) < 0.
Proof.
  intros m U Hm HU. destruct (signs _ _ (mamba_keeps_within m U Hm HU)) as (_ & Ha & _).
  pose proof (softplus_pos (- (step_rows m * U + bias_size m))). unfold zeta.
  change (least (mamba_constants m U)) with (softplus (- (step_rows m * U + bias_size m))). nra.
Qed.

(** ** One step, and where the states stay *)

(** A bounded input keeps the states in |x| <= X: for every N, with no lower bound on Δ. *)
Lemma step_stays : forall l b X0 x u k, admissible l -> within l b -> fits l (reach b) u ->
  (k < width l)%nat -> Rabs (x k) <= stays b X0 -> Rabs (F l x u k) <= stays b X0.
Proof.
  intros l b X0 x u k Hl Hb Hu Hk Hx.
  destruct (signs l b Hb) as (HU&Ha&_&_&HD&HB&_).
  destruct (A_range l b Hb k Hk) as [_ HA]. destruct (step_range l b Hb u k Hu Hk) as [_ HD'].
  pose proof (step_nonnegative l Hl u k Hk) as Hs.
  pose proof (in_range l b Hb u k Hu Hk) as HB'.
  pose proof (Hu (drive l k) (drive_exists l Hl k Hk)) as Hu'.
  set (d := step_size l u k) in *. set (q := exp (d * A l k)).
  assert (Hq : 0 < q <= 1) by (split; [apply exp_pos|apply exp_le_1; nra]).
  assert (Hg : 0 <= gain (hold l) d (A l k)).
  { apply gain_bounds; try assumption; [now apply A_nonpositive|].
    intros E. now apply (A_divides l Hl E). }
  assert (Hgain : gain (hold l) d (A l k) <= (1 - q) * (/ slowest b + most b)).
  { eapply Rle_trans; [apply gain_by_forgetting; lra|]. apply Rmult_le_compat_l; [lra|].
    assert (/ - A l k <= / slowest b) by (apply Rinv_le_contravar; lra). lra. }
  set (g := gain (hold l) d (A l k)) in *.
  assert (Hin : Rabs (inward l u k * u (drive l k)) <= most_in b * reach b).
  { rewrite Rabs_mult. apply Rmult_le_compat; try assumption; apply Rabs_pos. }
  assert (HX : (/ slowest b + most b) * (most_in b * reach b) <= stays b X0).
  { rewrite <- Rmult_assoc. apply Rmax_r. }
  unfold F, A_bar, B_bar. fold d. fold q. fold g.
  eapply Rle_trans; [apply Rabs_triang|].
  rewrite Rmult_assoc, !Rabs_mult, (Rabs_pos_eq q), (Rabs_pos_eq g) by lra.
  rewrite Rabs_mult in Hin.
  set (i := Rabs (inward l u k) * Rabs (u (drive l k))) in *.
  assert (Hi : 0 <= i) by (apply Rmult_le_pos; apply Rabs_pos).
  assert (g * i <= (1 - q) * (/ slowest b + most b) * (most_in b * reach b))
    by (apply Rmult_le_compat; assumption).
  assert ((1 - q) * ((/ slowest b + most b) * (most_in b * reach b)) <= (1 - q) * stays b X0)
    by (apply Rmult_le_compat_l; lra).
  assert (q * Rabs (x k) <= q * stays b X0) by (apply Rmult_le_compat_l; lra).
  lra.
Qed.

Theorem states_stay : forall l b x0 u, admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) ->
  forall t, max_norm (width l) (state l x0 u t) <= stays b (max_norm (width l) x0).
Proof.
  intros l b x0 u Hl Hb Hu t.
  assert (H : forall k, (k < width l)%nat -> Rabs (state l x0 u t k) <= stays b (max_norm (width l) x0)).
  { induction t as [|t IH]; intros k Hk; simpl.
    - eapply Rle_trans; [apply max_norm_ge; exact Hk|apply Rmax_l].
    - apply step_stays; auto. }
  apply max_norm_le; [eapply stays_nonneg; eassumption|exact H].
Qed.

(** One entry of one step with two sets of parameters and inputs: what is left of the old deviation,
    and what the parameters' differences h_Δ, h_B and the input's h_u add, given |x| <= X. *)
Definition moved (b : constants) (X h_step h_in h_u : R) : R :=
  fastest b * h_step * X + h_step * most_in b * reach b
  + most b * (h_in * reach b + most_in b * h_u).

Lemma moved_step : forall b h a d d' B B' i i' x x' X h_step h_in h_u,
  a <= 0 -> (h = ZeroOrderHold -> a <> 0) -> - fastest b <= a ->
  0 <= d -> 0 <= d' <= most b -> Rabs B <= most_in b -> Rabs B' <= most_in b ->
  Rabs i <= reach b -> Rabs x <= X ->
  Rabs (d' - d) <= h_step -> Rabs (B' - B) <= h_in -> Rabs (i' - i) <= h_u ->
  Rabs (exp (d' * a) * x' + gain h d' a * B' * i' - (exp (d * a) * x + gain h d a * B * i))
  <= exp (d' * a) * Rabs (x' - x) + moved b X h_step h_in h_u.
Proof.
  intros b h a d d' B B' i i' x x' X hd hB hi Ha Haz Hf Hd [Hd0 Hd1] HBu HBu' Hi Hx Hds HdB Hdi.
  destruct (gain_bounds h d' a Ha Haz Hd0) as [Hg0 Hg1].
  pose proof (gain_lipschitz h d d' a Ha Haz Hd Hd0) as Hdg.
  set (g := gain h d a) in *. set (g' := gain h d' a) in *.
  assert (Hexp : Rabs (exp (d' * a) - exp (d * a)) <= fastest b * hd).
  { eapply Rle_trans; [apply exp_lipschitz; nra|].
    rewrite <- Rmult_minus_distr_r, Rabs_mult, Rmult_comm.
    apply Rmult_le_compat; try apply Rabs_pos; [|exact Hds]. rewrite Rabs_left1; lra. }
  set (q := exp (d * a)) in *. set (q' := exp (d' * a)) in *.
  assert (Hq' : 0 < q') by apply exp_pos.
  replace (q' * x' + g' * B' * i' - (q * x + g * B * i)) with
    (q' * (x' - x) + ((q' - q) * x + (g' - g) * (B * i) + g' * ((B' - B) * i + B' * (i' - i)))) by ring.
  eapply Rle_trans; [apply Rabs_triang|]. apply Rplus_le_compat.
  { rewrite Rabs_mult, (Rabs_pos_eq q') by lra. lra. }
  eapply Rle_trans; [apply Rabs_triang|].
  assert (T1 : Rabs ((q' - q) * x) <= fastest b * hd * X)
    by (rewrite Rabs_mult; apply Rmult_le_compat; try apply Rabs_pos; assumption).
  assert (T2 : Rabs ((g' - g) * (B * i)) <= hd * (most_in b * reach b)).
  { rewrite !Rabs_mult. apply Rmult_le_compat; try apply Rabs_pos; [|lra|].
    - apply Rmult_le_pos; apply Rabs_pos.
    - apply Rmult_le_compat; try apply Rabs_pos; assumption. }
  assert (T3 : Rabs (g' * ((B' - B) * i + B' * (i' - i))) <= most b * (hB * reach b + most_in b * hi)).
  { rewrite Rabs_mult, (Rabs_pos_eq g') by assumption.
    apply Rmult_le_compat; [assumption|apply Rabs_pos|lra|].
    eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_mult.
    apply Rplus_le_compat; apply Rmult_le_compat; try apply Rabs_pos; assumption. }
  pose proof (Rabs_triang ((q' - q) * x) ((g' - g) * (B * i))). unfold moved. lra.
Qed.

(** The same of a layer: parameters are functions of the input, and an input within e adds κ e. *)
Lemma step_deviation : forall l b X e x x' u u' k, admissible l -> within l b ->
  fits l (reach b) u -> fits l (reach b) u' -> 0 <= e -> close (inputs l) e u u' ->
  (k < width l)%nat -> Rabs (x k) <= X ->
  Rabs (F l x' u' k - F l x u k) <= A_bar l u' k * Rabs (x' k - x k) + kappa b X * e.
Proof.
  intros l b X e x x' u u' k Hl Hb Hu Hu' He Hc Hk Hx.
  pose proof (drive_exists l Hl k Hk) as Hdr.
  replace (kappa b X * e) with (moved b X (move_step b * e) (move_in b * e) e)
    by (unfold moved, kappa; ring).
  apply moved_step; try assumption.
  - now apply A_nonpositive.
  - intros E. now apply (A_divides l Hl E).
  - now apply (A_range l b Hb).
  - now apply step_nonnegative.
  - split; [now apply step_nonnegative|now apply (step_range l b Hb)].
  - now apply (in_range l b Hb).
  - now apply (in_range l b Hb).
  - now apply Hu.
  - now apply (step_moves l b Hb).
  - now apply (in_moves l b Hb).
  - now apply Hc.
Qed.

(** What is left of a deviation after one step is at most exp(ζ) of it. *)
Lemma A_bar_le : forall l b u k, within l b -> fits l (reach b) u -> (k < width l)%nat ->
  A_bar l u k <= exp (zeta b).
Proof.
  intros l b u k Hb Hu Hk. destruct (signs l b Hb) as (_&Ha&_&Hd&_).
  destruct (A_range l b Hb k Hk). destruct (step_range l b Hb u k Hu Hk).
  apply exp_mono. unfold zeta. nra.
Qed.
