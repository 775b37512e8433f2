(** Theorem 1: deviations of the latent state do not grow.

    Paper v2, Section 3.1, Theorem 1 (Appendix B: Lemma 1 for t = 1, second theorem for any t): small
    changes (x_{t-1} + ε, u_t + ε) "produce deviations which are exponentially non-increasing over
    discrete-time. That is, max |F^N(x_{t-1}, u_t) - F^N(x_{t-1} + ε, u_t + ε)| ∈ O(ε exp(Nζ)), for
    some scalar ζ <= 0".

    Proved, with dx_N the deviation after N steps:

    - of the state alone: max_k |dx_N[k]| and ‖dx_N‖_2 never rise from one step to the next, and are
      at most those of dx_0 times exp(N λ_N), λ_N <= 0 the exponent of Lemma 1 over these N steps. For
      +ε in every entry this is an equality in the max-norm: no smaller rate will do;
    - of the state and the input, at any one time, with Δ, B and C functions of the input and inputs
      in a bounded set: max_k |dx_N[k]| <= K ε exp(Nζ) for all N >= 1, with
      ζ = -a δ and K = (1 + κ) exp(a δ), the same for all N, all t and all such inputs
      (Constants.v has a, δ and κ; in the 2-norm K √width);
    - for the code's layer a, δ, κ are functions of the weights, and ζ < 0.

    The printed proof moves the state alone (its Jacobian is ∂x_t/∂x_{t-1}) and takes the bound from
    the exponent; LimitAndArgmax.v shows that this does not follow. Here it comes from step-by-step
    contraction. *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis Lyapunov.Model Lyapunov.Constants Lyapunov.Lemma1.
Local Open Scope R_scope.

(** The deviation of two trajectories after N steps. *)
Definition deviation (l : layer) (x0 x0' : vec) (u u' : nat -> vec) (N : nat) : vec :=
  fun k => state l x0' u' N k - state l x0 u N k.

(** ** The state alone *)

Lemma step_linear : forall l x x' u k, F l x' u k - F l x u k = A_bar l u k * (x' k - x k).
Proof. intros. unfold F. ring. Qed.

(** dx_N[k] = exp(A[k] Σ_t Δ_t[k]) dx_0[k]. *)
Theorem deviation_exact : forall l x0 x0' u N k,
  deviation l x0 x0' u u N k = exp (A l k * elapsed l u k N) * (x0' k - x0 k).
Proof.
  intros l x0 x0' u N k. unfold deviation, elapsed. induction N as [|N IH]; simpl.
  - rewrite Rmult_0_r, exp_0. lra.
  - rewrite step_linear, IH, <- Rmult_assoc. unfold A_bar. rewrite <- exp_plus.
    f_equal. f_equal. ring.
Qed.

Lemma A_bar_at_most_1 : forall l u k, admissible l -> (k < width l)%nat -> 0 < A_bar l u k <= 1.
Proof.
  intros l u k Hl Hk. split; [apply exp_pos|]. apply exp_le_1.
  pose proof (A_nonpositive l Hl k Hk). pose proof (step_nonnegative l Hl u k Hk). nra.
Qed.

Lemma deviation_step : forall l x0 x0' u N k, admissible l -> (k < width l)%nat ->
  Rabs (deviation l x0 x0' u u (S N) k) <= 1 * Rabs (deviation l x0 x0' u u N k).
Proof.
  intros l x0 x0' u N k Hl Hk. unfold deviation. simpl. rewrite step_linear, Rabs_mult.
  destruct (A_bar_at_most_1 l (u (S N)) k Hl Hk). rewrite (Rabs_pos_eq (A_bar _ _ _)) by lra.
  apply Rmult_le_compat_r; [apply Rabs_pos|assumption].
Qed.

(** Never rises, in the max-norm and in the 2-norm. *)
Theorem theorem1_max_norm_never_rises : forall l x0 x0' u N, admissible l ->
  max_norm (width l) (deviation l x0 x0' u u (S N)) <= max_norm (width l) (deviation l x0 x0' u u N).
Proof.
  intros l x0 x0' u N Hl. apply max_norm_le; [apply max_norm_nonneg|]. intros k Hk.
  eapply Rle_trans; [now apply deviation_step|]. rewrite Rmult_1_l. now apply max_norm_ge.
Qed.

Theorem theorem1_two_norm_never_rises : forall l x0 x0' u N, admissible l ->
  two_norm (width l) (deviation l x0 x0' u u (S N)) <= two_norm (width l) (deviation l x0 x0' u u N).
Proof.
  intros l x0 x0' u N Hl. rewrite <- (Rmult_1_l (two_norm (width l) (deviation l x0 x0' u u N))).
  apply two_norm_scaled; [lra|]. intros. now apply deviation_step.
Qed.

(** exp(N λ_N) is the norm of the product of Jacobians. *)
Lemma exp_of_exponent : forall l u N, admissible l -> (0 < N)%nat ->
  exp (INR N * exponent l u N) = jacobians_norm l u N.
Proof.
  intros l u N Hl HN. unfold exponent. assert (0 < INR N) by now apply lt_0_INR.
  replace (INR N * (ln (jacobians_norm l u N) / INR N)) with (ln (jacobians_norm l u N)) by (field; lra).
  apply exp_ln. now apply jacobians_norm_pos.
Qed.

Lemma deviation_by_norm : forall l x0 x0' u N k, (k < width l)%nat ->
  Rabs (deviation l x0 x0' u u N k) <= jacobians_norm l u N * Rabs (x0' k - x0 k).
Proof.
  intros l x0 x0' u N k Hk. rewrite deviation_exact, Rabs_mult, (Rabs_pos_eq (exp _)) by (left; apply exp_pos).
  apply Rmult_le_compat_r; [apply Rabs_pos|].
  apply (largest_ge _ (fun k => exp (A l k * elapsed l u k N)) k Hk).
Qed.

(** At most |dx_0| exp(N λ_N) in both norms, with λ_N <= 0 ([lemma1_every_T]) and constant 1. *)
Theorem theorem1_state_max_norm : forall l x0 x0' u N, admissible l -> (0 < N)%nat ->
  max_norm (width l) (deviation l x0 x0' u u N)
  <= max_norm (width l) (fun k => x0' k - x0 k) * exp (INR N * exponent l u N).
Proof.
  intros l x0 x0' u N Hl HN. rewrite exp_of_exponent by assumption.
  pose proof (jacobians_norm_pos l u N Hl) as Hp.
  apply max_norm_le; [apply Rmult_le_pos; [apply max_norm_nonneg|lra]|]. intros k Hk.
  eapply Rle_trans; [now apply deviation_by_norm|]. rewrite Rmult_comm.
  apply Rmult_le_compat_r; [lra|]. apply (max_norm_ge _ (fun k => x0' k - x0 k) k Hk).
Qed.

Theorem theorem1_state_two_norm : forall l x0 x0' u N, admissible l -> (0 < N)%nat ->
  two_norm (width l) (deviation l x0 x0' u u N)
  <= two_norm (width l) (fun k => x0' k - x0 k) * exp (INR N * exponent l u N).
Proof.
  intros l x0 x0' u N Hl HN. rewrite exp_of_exponent, Rmult_comm by assumption.
  apply two_norm_scaled; [left; now apply jacobians_norm_pos|]. intros k Hk. now apply deviation_by_norm.
Qed.

(** One rate for all N, ζ = -a δ, where A[k] <= -a and Δ_t[k] >= δ along the trajectory. With a = δ = 0
    this is ζ = 0, of every admissible layer and all inputs. *)
Theorem theorem1_state_rate : forall l x0 x0' u a delta N, admissible l -> 0 <= a -> 0 <= delta ->
  (forall k, (k < width l)%nat -> A l k <= - a) ->
  (forall t k, (k < width l)%nat -> delta <= step_size l (u (S t)) k) ->
  max_norm (width l) (deviation l x0 x0' u u N)
  <= max_norm (width l) (fun k => x0' k - x0 k) * exp (INR N * - (a * delta)) /\
  two_norm (width l) (deviation l x0 x0' u u N)
  <= two_norm (width l) (fun k => x0' k - x0 k) * exp (INR N * - (a * delta)).
Proof.
  intros l x0 x0' u a delta N Hl Ha Hd HA HD.
  pose proof (jacobians_norm_le l u a delta N Hl Ha Hd HA HD) as HN.
  set (q := exp (INR N * - (a * delta))) in *. assert (Hq : 0 <= q) by (left; apply exp_pos).
  assert (Hk : forall k, (k < width l)%nat ->
    Rabs (deviation l x0 x0' u u N k) <= q * Rabs (x0' k - x0 k)).
  { intros k Hk. eapply Rle_trans; [now apply deviation_by_norm|].
    apply Rmult_le_compat_r; [apply Rabs_pos|assumption]. }
  split; rewrite Rmult_comm.
  - apply max_norm_le; [apply Rmult_le_pos; [assumption|apply max_norm_nonneg]|]. intros k Hkw.
    eapply Rle_trans; [now apply Hk|]. apply Rmult_le_compat_l; [assumption|].
    apply (max_norm_ge _ (fun k => x0' k - x0 k) k Hkw).
  - now apply two_norm_scaled.
Qed.

(** The paper's +ε in every entry: max |dx_N| = |ε| exp(N λ_N). *)
Theorem theorem1_state_sharp : forall l x0 u N e, admissible l -> (0 < N)%nat ->
  max_norm (width l) (deviation l x0 (fun k => x0 k + e) u u N)
  = Rabs e * exp (INR N * exponent l u N).
Proof.
  intros l x0 u N e Hl HN. apply Rle_antisym.
  - eapply Rle_trans; [now apply theorem1_state_max_norm|].
    apply Rmult_le_compat_r; [left; apply exp_pos|].
    apply max_norm_le; [apply Rabs_pos|]. intros k _. replace (x0 k + e - x0 k) with e by lra. lra.
  - rewrite exp_of_exponent by assumption.
    destruct (largest_attained (width l) (fun k => exp (A l k * elapsed l u k N))) as (k & Hk & E);
      [now apply some_entry|intros; left; apply exp_pos|].
    unfold jacobians_norm. rewrite E.
    eapply Rle_trans; [|now apply (max_norm_ge _ _ k Hk)].
    rewrite deviation_exact, Rabs_mult, (Rabs_pos_eq (exp _)) by (left; apply exp_pos).
    replace (x0 k + e - x0 k) with e by lra. lra.
Qed.

(** ** The shift of time in the proof of Theorem 1 *)

(** From time t on a trajectory is a trajectory from time 0, with the inputs from time t on. The
    proof's τ is τ(t + s) = s + 1. *)
Theorem shifted_trajectory : forall l x0 u t N,
  state l x0 u (t + N) = state l (state l x0 u t) (later t u) N.
Proof.
  induction N as [|N IH]; [now rewrite Nat.add_0_r|].
  rewrite Nat.add_succ_r. simpl. rewrite IH. unfold later. now rewrite Nat.add_succ_r.
Qed.

(** As printed ("τ(t) = 1, τ(t+1) = 2, ..., τ(t+T) = T-t") there is no such function. *)
Theorem printed_shift_contradicts_itself : forall t T : nat, (0 < t)%nat ->
  ~ exists tau : nat -> nat, (forall s, tau (t + s) = s + 1)%nat /\ tau (t + T)%nat = (T - t)%nat.
Proof. intros t T Ht (tau & H & H'). rewrite H in H'. lia. Qed.

(** ** The state and the input, at any one time *)

(** The inputs [u] with the first one replaced by [v]. *)
Definition first (v : vec) (u : nat -> vec) : nat -> vec := fun t => if Nat.eqb t 1 then v else u t.

(** K = (1 + κ) exp(a δ), given |x_0[k]| <= X_0. *)
Definition K1 (b : constants) (X0 : R) : R := (1 + kappa b (stays b X0)) * exp (- zeta b).

Lemma K1_nonneg : forall l b X0, within l b -> 0 <= K1 b X0.
Proof.
  intros l b X0 Hb. pose proof (kappa_nonneg l b _ Hb (stays_nonneg l b X0 Hb)).
  pose proof (exp_pos (- zeta b)). unfold K1. nra.
Qed.

Lemma first_steps : forall l b x0 x0' u v e n k, admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> fits l (reach b) v -> 0 <= e ->
  close (width l) e x0 x0' -> close (inputs l) e (u 1%nat) v -> (k < width l)%nat ->
  forall X, max_norm (width l) x0 <= X ->
  Rabs (deviation l x0 x0' u (first v u) (S n) k) <= (1 + kappa b X) * e * exp (INR n * zeta b).
Proof.
  intros l b x0 x0' u v e n k Hl Hb Hu Hv He Hx Hc Hk X HX. unfold deviation.
  assert (Hkap : 0 <= kappa b X).
  { apply (kappa_nonneg l b _ Hb). eapply Rle_trans; [apply (max_norm_nonneg (width l) x0)|exact HX]. }
  induction n as [|n IH].
  - simpl. unfold first at 1. simpl.
    rewrite Rmult_0_l, exp_0, Rmult_1_r.
    eapply Rle_trans; [apply (step_deviation l b X e x0 x0' (u 1%nat) v k); try assumption; auto|].
    + eapply Rle_trans; [apply (max_norm_ge (width l) x0 k Hk)|exact HX].
    + destruct (A_bar_at_most_1 l v k Hl Hk). specialize (Hx k Hk).
      pose proof (Rabs_pos (x0' k - x0 k)). nra.
  - change (state l x0' (first v u) (S (S n))) with (F l (state l x0' (first v u) (S n)) (u (S (S n)))).
    change (state l x0 u (S (S n))) with (F l (state l x0 u (S n)) (u (S (S n)))).
    rewrite step_linear, Rabs_mult, S_INR.
    replace ((INR n + 1) * zeta b) with (zeta b + INR n * zeta b) by lra. rewrite exp_plus.
    pose proof (A_bar_le l b (u (S (S n))) k Hb (Hu (S (S n))) Hk).
    destruct (A_bar_at_most_1 l (u (S (S n))) k Hl Hk).
    rewrite (Rabs_pos_eq (A_bar _ _ _)) by lra.
    replace ((1 + kappa b X) * e * (exp (zeta b) * exp (INR n * zeta b)))
      with (exp (zeta b) * ((1 + kappa b X) * e * exp (INR n * zeta b))) by ring.
    apply Rmult_le_compat; try assumption; [lra|apply Rabs_pos].
Qed.

(** Theorem 1 with its constants. The perturbation is in step s + 1 (the paper's t): [x'] is any
    state within e of x_s and [v] any input within e of u_{s+1}; then both follow the same inputs. *)
Theorem theorem1 : forall l b x0 u x' v s N e, admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> fits l (reach b) v -> 0 <= e ->
  close (width l) e (state l x0 u s) x' -> close (inputs l) e (u (S s)) v -> (0 < N)%nat ->
  max_norm (width l) (fun k => state l x' (first v (later s u)) N k - state l x0 u (s + N) k)
  <= K1 b (max_norm (width l) x0) * e * exp (INR N * zeta b).
Proof.
  intros l b x0 u x' v s N e Hl Hb Hu Hv He Hx Hc HN.
  destruct N as [|n]; [lia|]. rewrite shifted_trajectory.
  apply max_norm_le.
  { apply Rmult_le_pos; [apply Rmult_le_pos; [eapply K1_nonneg; eassumption|assumption]|left; apply exp_pos]. }
  intros k Hk.
  eapply Rle_trans; [apply (first_steps l b (state l x0 u s) x' (later s u) v e n k Hl Hb)
    with (X := stays b (max_norm (width l) x0)); try assumption|].
  - intros t. apply Hu.
  - unfold later. now rewrite Nat.add_1_r.
  - now apply states_stay.
  - unfold K1. rewrite S_INR. right.
    replace (exp (INR n * zeta b)) with (exp (- zeta b) * exp ((INR n + 1) * zeta b))
      by (rewrite <- exp_plus; f_equal; lra).
    ring.
Qed.

(** The same in the 2-norm, with √width. *)
Theorem theorem1_two_norm : forall l b x0 u x' v s N e, admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> fits l (reach b) v -> 0 <= e ->
  close (width l) e (state l x0 u s) x' -> close (inputs l) e (u (S s)) v -> (0 < N)%nat ->
  two_norm (width l) (fun k => state l x' (first v (later s u)) N k - state l x0 u (s + N) k)
  <= sqrt (INR (width l)) * (K1 b (max_norm (width l) x0) * e * exp (INR N * zeta b)).
Proof.
  intros. eapply Rle_trans; [apply two_norm_le_sqrt_max|].
  apply Rmult_le_compat_l; [apply sqrt_pos|]. now apply theorem1.
Qed.

(** Theorem 1 as printed, of the code's layer: +ε in every entry, one K and one ζ < 0 for all N, all
    times and all inputs in a bounded set. *)
Theorem theorem1_mamba : forall m U x0, well_shaped m -> 0 <= U ->
  exists K zeta, zeta < 0 /\
    forall u s N e, (forall t, fits (mamba_layer m) U (u t)) ->
      fits (mamba_layer m) U (fun j => u (S s) j + e) -> (0 < N)%nat ->
      let l := mamba_layer m in
      max_norm (width l) (fun k =>
        state l (fun k => state l x0 u s k + e) (first (fun j => u (S s) j + e) (later s u)) N k
        - state l x0 u (s + N) k)
      <= K * Rabs e * exp (INR N * zeta).
Proof.
  intros m U x0 Hm HU.
  exists (K1 (mamba_constants m U) (max_norm (width (mamba_layer m)) x0)), (zeta (mamba_constants m U)).
  split; [now apply mamba_zeta_negative|]. intros u s N e Hu Hv HN l.
  apply theorem1; try assumption.
  - now apply mamba_is_admissible.
  - now apply mamba_keeps_within.
  - apply Rabs_pos.
  - intros k _. fold l. replace (state l x0 u s k + e - state l x0 u s k) with e by lra. lra.
  - intros j _. replace (u (S s) j + e - u (S s) j) with e by lra. lra.
Qed.

(** ** "Decreasing", of Appendix B's second theorem *)

(** A < 0 and Δ > 0: what has not vanished does shrink at every step. (Not at one rate: see
    Decreasing.v.) *)
Theorem deviation_strictly_decreases : forall l x0 x0' u N, admissible l ->
  (forall k, (k < width l)%nat -> A l k < 0) -> (forall k, (k < width l)%nat -> 0 < step_size l (u (S N)) k) ->
  0 < max_norm (width l) (deviation l x0 x0' u u N) ->
  max_norm (width l) (deviation l x0 x0' u u (S N)) < max_norm (width l) (deviation l x0 x0' u u N).
Proof.
  intros l x0 x0' u N Hl HA HD Hpos.
  destruct (largest_attained (width l) (fun k => Rabs (deviation l x0 x0' u u (S N) k))) as (k & Hk & E);
    [now apply some_entry|intros; apply Rabs_pos|].
  unfold max_norm at 1. rewrite E. unfold deviation at 1. simpl.
  rewrite step_linear, Rabs_mult. pose proof (max_norm_ge _ (deviation l x0 x0' u u N) k Hk) as Hm.
  unfold deviation in Hm at 1.
  assert (Hq : 0 < A_bar l (u (S N)) k < 1).
  { split; [apply exp_pos|]. unfold A_bar. rewrite <- exp_0 at 1. apply exp_increasing.
    specialize (HA k Hk). specialize (HD k Hk). nra. }
  rewrite (Rabs_pos_eq (A_bar _ _ _)) by lra.
  pose proof (Rabs_pos (state l x0' u N k - state l x0 u N k)). nra.
Qed.
