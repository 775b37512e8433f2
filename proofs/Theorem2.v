(** Theorem 2: deviations of the outputs.

    Paper v2, Section 3.1, Theorem 2, and Appendix C: "Assume (x_{t-1} + ε, u_t + ε) produce deviations
    which are exponentially non-increasing over discrete-time. Then small changes to the output y_t are
    also exponentially non-increasing over discrete time." Its proof writes max |y_t - y'_t| ∝
    max |F^N(x_{t-1}, u_t) - F^N(x_{t-1} + ε, u_t + ε)|, "proportionality follows due to the diagonality
    of C_N".

    Proved, with y_t = C_t(u_t) x_t + D u_t, C_t a sum over state entries (1 x N per channel in the code,
    diagonal in the paper: both are matrices here):

    - what the printed step gives: |dy_N[c]| <= ‖C_N[c]‖_1 max_k |dx_N[k]|, hence a bound
      ‖C‖_1 K ε exp(Nζ) where the ‖C_t(u_t)[c]‖_1 stay bounded ([theorem2_printed_step]);
    - of the state and the input, at any one time, inputs in a bounded set:
      |dy_N[c]| <= K_2 ε exp(Nζ) for all N >= 1, K_2 = C^ K + (L_C X + D^) exp(a δ): C_t moves with the
      perturbed input, and D passes it on;
    - of the code's layer, with constants from the weights and ζ < 0.

    Not proportional, and not "non-increasing" from one step to the next: [outputs_may_rise]. Without a
    bound on C_t(u_t) the theorem as printed is false: BoundedInputs.v. *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis Lyapunov.Model Lyapunov.Constants Lyapunov.Lemma1.
Require Import Lyapunov.Theorem1 Lyapunov.Examples.
Local Open Scope R_scope.

(** A sum against entries of size at most d. *)
Lemma sum_against : forall n f v d, (forall k, (k < n)%nat -> Rabs (v k) <= d) ->
  Rabs (sum n (fun k => f k * v k)) <= sum n (fun k => Rabs (f k)) * d.
Proof.
  intros n f v d H. eapply Rle_trans; [apply sum_abs|]. rewrite <- sum_scale_r. apply sum_le.
  intros k Hk. rewrite Rabs_mult. apply Rmult_le_compat_l; [apply Rabs_pos|now apply H].
Qed.

(** The outputs of two states under one input: C contracts the deviation, D drops out. *)
Lemma same_input_outputs : forall l x x' u c d, (forall k, (k < width l)%nat -> Rabs (x' k - x k) <= d) ->
  Rabs (read_out l x' u c - read_out l x u c) <= sum (width l) (fun k => Rabs (outward l u c k)) * d.
Proof.
  intros l x x' u c d H. unfold read_out.
  replace (sum (width l) (fun k => outward l u c k * x' k) + skip l c * u c
    - (sum (width l) (fun k => outward l u c k * x k) + skip l c * u c))
    with (sum (width l) (fun k => outward l u c k * (x' k - x k))).
  - now apply sum_against.
  - rewrite (sum_ext _ _ (fun k => outward l u c k * x' k - outward l u c k * x k)) by (intros; ring).
    rewrite sum_minus. ring.
Qed.

(** The state alone is perturbed: for every N, of any layer, with the exponent of Lemma 1. *)
Theorem theorem2_state : forall l x0 x0' u N c, admissible l -> (0 < N)%nat ->
  Rabs (output l x0' u N c - output l x0 u N c)
  <= sum (width l) (fun k => Rabs (outward l (u N) c k))
     * (max_norm (width l) (fun k => x0' k - x0 k) * exp (INR N * exponent l u N)).
Proof.
  intros l x0 x0' u N c Hl HN. apply same_input_outputs. intros k Hk.
  eapply Rle_trans; [|now apply (theorem1_state_max_norm l x0 x0' u N)].
  now apply (max_norm_ge _ (deviation l x0 x0' u u N)).
Qed.

(** The printed step from states to outputs, with what it needs: bounded C_t(u_t). *)
Theorem theorem2_printed_step : forall l x0 x0' u K e z Cmax,
  (forall N, max_norm (width l) (deviation l x0 x0' u u N) <= K * e * exp (INR N * z)) ->
  (forall N c, (c < outputs l)%nat -> sum (width l) (fun k => Rabs (outward l (u N) c k)) <= Cmax) ->
  forall N c, (c < outputs l)%nat ->
    Rabs (output l x0' u N c - output l x0 u N c) <= Cmax * K * e * exp (INR N * z).
Proof.
  intros l x0 x0' u K e z Cmax HX HC N c Hc.
  eapply Rle_trans; [apply same_input_outputs; intros k Hk;
    apply (max_norm_ge _ (deviation l x0 x0' u u N) k Hk)|].
  replace (Cmax * K * e * exp (INR N * z)) with (Cmax * (K * e * exp (INR N * z))) by ring.
  apply Rmult_le_compat; [apply sum_nonneg; intros; apply Rabs_pos|apply max_norm_nonneg|now apply HC|apply HX].
Qed.

(** Two inputs: C_t moves, and D passes the perturbation on. *)
Lemma outputs_deviation : forall l b X d e x x' u u' c, admissible l -> within l b ->
  fits l (reach b) u -> fits l (reach b) u' -> 0 <= e -> close (inputs l) e u u' ->
  0 <= d -> close (width l) d x x' -> (forall k, (k < width l)%nat -> Rabs (x k) <= X) ->
  (c < outputs l)%nat ->
  Rabs (read_out l x' u' c - read_out l x u c) <= most_out b * d + (move_out b * X + most_skip b) * e.
Proof.
  intros l b X d e x x' u u' c Hl Hb Hu Hu' He Hc Hd Hx HX Hcc.
  assert (HX0 : 0 <= X).
  { eapply Rle_trans; [apply Rabs_pos|apply (HX O)]. now apply some_entry. }
  replace (read_out l x' u' c - read_out l x u c) with
    ((read_out l x' u' c - read_out l x u' c)
     + (sum (width l) (fun k => (outward l u' c k - outward l u c k) * x k) + skip l c * (u' c - u c))).
  2:{ rewrite (sum_ext _ (fun k => (outward l u' c k - outward l u c k) * x k)
        (fun k => outward l u' c k * x k - outward l u c k * x k)) by (intros; ring).
      rewrite sum_minus. unfold read_out. ring. }
  assert (T1 : Rabs (read_out l x' u' c - read_out l x u' c) <= most_out b * d).
  { eapply Rle_trans; [apply same_input_outputs; exact Hx|].
    apply Rmult_le_compat_r; [assumption|now apply (out_range l b Hb)]. }
  assert (T2 : Rabs (sum (width l) (fun k => (outward l u' c k - outward l u c k) * x k)) <= move_out b * X * e).
  { eapply Rle_trans; [apply (sum_against _ (fun k => outward l u' c k - outward l u c k) x X HX)|].
    pose proof (out_moves l b Hb u u' e c Hu Hu' Hc He Hcc). nra. }
  assert (T3 : Rabs (skip l c * (u' c - u c)) <= most_skip b * e).
  { rewrite Rabs_mult. pose proof (skip_exists l Hl).
    apply Rmult_le_compat; try apply Rabs_pos; [now apply (skip_range l b Hb)|apply Hc; lia]. }
  eapply Rle_trans; [apply Rabs_triang|].
  pose proof (Rabs_triang (sum (width l) (fun k => (outward l u' c k - outward l u c k) * x k))
    (skip l c * (u' c - u c))). lra.
Qed.

(** K_2 = C^ K + (L_C X + D^) exp(a δ). *)
Definition K2 (b : constants) (X0 : R) : R :=
  most_out b * K1 b X0 + (move_out b * stays b X0 + most_skip b) * exp (- zeta b).

(** Theorem 2 with its constants; the perturbation is as in [theorem1]. *)
Theorem theorem2 : forall l b x0 u x' v s N e c, admissible l -> within l b ->
  (forall t, fits l (reach b) (u t)) -> fits l (reach b) v -> 0 <= e ->
  close (width l) e (state l x0 u s) x' -> close (inputs l) e (u (S s)) v -> (0 < N)%nat ->
  (c < outputs l)%nat ->
  Rabs (output l x' (first v (later s u)) N c - output l x0 u (s + N) c)
  <= K2 b (max_norm (width l) x0) * e * exp (INR N * zeta b).
Proof.
  intros l b x0 u x' v s N e c Hl Hb Hu Hv He Hx Hc HN Hcc.
  destruct (signs l b Hb) as (_&_&_&_&_&_&HCo&HDs&_&_&HLo).
  set (X0 := max_norm (width l) x0). set (d := K1 b X0 * e * exp (INR N * zeta b)).
  assert (HK : 0 <= K1 b X0) by (eapply K1_nonneg; eassumption).
  assert (Hd : 0 <= d).
  { apply Rmult_le_pos; [now apply Rmult_le_pos|left; apply exp_pos]. }
  assert (Hxd : close (width l) d (state l x0 u (s + N)) (state l x' (first v (later s u)) N)).
  { intros k Hk. eapply Rle_trans; [|apply (theorem1 l b x0 u x' v s N e); assumption].
    apply (max_norm_ge _ (fun k => state l x' (first v (later s u)) N k - state l x0 u (s + N) k) k Hk). }
  assert (HX : forall k, (k < width l)%nat -> Rabs (state l x0 u (s + N) k) <= stays b X0).
  { intros k Hk. eapply Rle_trans; [apply (max_norm_ge _ (state l x0 u (s + N)) k Hk)|now apply states_stay]. }
  assert (Hst : 0 <= stays b X0) by (eapply stays_nonneg; eassumption).
  pose proof (exp_pos (- zeta b)) as Hz. pose proof (exp_pos (INR N * zeta b)) as HzN.
  unfold output. destruct N as [|[|n]]; [lia| |].
  - (* the perturbed step itself *)
    rewrite Nat.add_1_r in *.
    assert (Hstep : Rabs (read_out l (state l x' (first v (later s u)) 1) v c
                          - read_out l (state l x0 u (S s)) (u (S s)) c)
      <= most_out b * d + (move_out b * stays b X0 + most_skip b) * e).
    { apply outputs_deviation; try assumption. apply Hu. }
    unfold first at 2. simpl Nat.eqb. cbv iota. eapply Rle_trans; [exact Hstep|].
    unfold K2, d. simpl INR. rewrite Rmult_1_l.
    assert (E : exp (- zeta b) * exp (zeta b) = 1) by (rewrite <- exp_plus, <- exp_0; f_equal; lra).
    replace ((most_out b * K1 b X0 + (move_out b * stays b X0 + most_skip b) * exp (- zeta b)) * e * exp (zeta b))
      with (most_out b * (K1 b X0 * e * exp (zeta b))
            + (move_out b * stays b X0 + most_skip b) * e * (exp (- zeta b) * exp (zeta b))) by ring.
    rewrite E. lra.
  - (* later steps: one and the same input *)
    set (N := S (S n)) in *.
    replace (first v (later s u) N) with (u (s + N)%nat) by reflexivity.
    eapply Rle_trans; [apply same_input_outputs; exact Hxd|].
    apply Rle_trans with (most_out b * d).
    { apply Rmult_le_compat_r; [assumption|]. apply (out_range l b Hb); [apply Hu|assumption]. }
    unfold K2, d.
    assert (0 <= (move_out b * stays b X0 + most_skip b) * exp (- zeta b) * (e * exp (INR N * zeta b))).
    { assert (0 <= move_out b * stays b X0) by now apply Rmult_le_pos.
      repeat apply Rmult_le_pos; lra. }
    lra.
Qed.

(** Of the code's layer: one K and one ζ < 0 for all N, all times, all outputs and all inputs in a
    bounded set. Also what v3 prints of its random layers (Version3.v). *)
Theorem theorem2_mamba : forall m U x0, well_shaped m -> 0 <= U ->
  exists K zeta, zeta < 0 /\
    forall u s N e c, (forall t, fits (mamba_layer m) U (u t)) ->
      fits (mamba_layer m) U (fun j => u (S s) j + e) -> (0 < N)%nat -> (c < channels m)%nat ->
      let l := mamba_layer m in
      Rabs (output l (fun k => state l x0 u s k + e) (first (fun j => u (S s) j + e) (later s u)) N c
            - output l x0 u (s + N) c)
      <= K * Rabs e * exp (INR N * zeta).
Proof.
  intros m U x0 Hm HU.
  exists (K2 (mamba_constants m U) (max_norm (width (mamba_layer m)) x0)), (zeta (mamba_constants m U)).
  split; [now apply mamba_zeta_negative|]. intros u s N e c Hu Hv HN Hc l.
  apply theorem2; try assumption.
  - now apply mamba_is_admissible.
  - now apply mamba_keeps_within.
  - apply Rabs_pos.
  - intros k _. fold l. replace (state l x0 u s k + e - state l x0 u s k) with e by lra. lra.
  - intros j _. replace (u (S s) j + e - u (S s) j) with e by lra. lra.
Qed.

(** ** Counterexample: outputs may rise while states fall, so "∝" is no proportionality *)

(** The state's deviation halves at every step; the input, and with it C, is 1 and then 10: the output's
    deviation is ε/2 and then 5ε/2. *)
Theorem outputs_may_rise : exists m u, well_shaped m /\
  (forall t, fits (mamba_layer m) 10 (u t)) /\
  forall x0 e, 0 < e ->
    let l := mamba_layer m in
    let dx N := max_norm (width l) (deviation l x0 (fun k => x0 k + e) u u N) in
    let dy N := Rabs (output l (fun k => x0 k + e) u N O - output l x0 u N O) in
    (forall N, dx N = (/ 2) ^ N * e) /\ dy 1%nat = e / 2 /\ dy 2%nat = 5 * e / 2 /\
    ~ exists c, forall N, (0 < N)%nat -> dy N = c * dx N.
Proof.
  exists halving, (fun t _ => if Nat.eqb t 2 then 10 else 1).
  set (u := fun t (_ : nat) => if Nat.eqb t 2 then 10 else 1).
  split; [apply halving_shape|]. split.
  { intros t j _. unfold u. destruct (Nat.eqb t 2); rewrite Rabs_pos_eq; lra. }
  intros x0 e He l dx dy.
  assert (Hdx : forall N, dx N = (/ 2) ^ N * e).
  { intros N. unfold dx, l. change (width (mamba_layer halving)) with 1%nat. unfold max_norm. cbn [largest].
    rewrite Rmax_right by apply Rabs_pos. rewrite halving_deviation. apply Rabs_pos_eq.
    apply Rmult_le_pos; [apply pow_le; lra|lra]. }
  assert (Hdy : forall N, dy N = Rabs (u N O * ((/ 2) ^ N * e))).
  { intros N. unfold dy, output, l. rewrite !halving_output.
    pose proof (halving_deviation x0 e u N) as Hd. unfold deviation in Hd. rewrite <- Hd. f_equal. ring. }
  assert (H1 : dy 1%nat = e / 2) by (rewrite Hdy; unfold u; simpl; rewrite Rabs_pos_eq; lra).
  assert (H2 : dy 2%nat = 5 * e / 2) by (rewrite Hdy; unfold u; simpl; rewrite Rabs_pos_eq; lra).
  repeat split; try assumption.
  intros (c & Hc). pose proof (Hc 1%nat ltac:(lia)) as Hc1. pose proof (Hc 2%nat ltac:(lia)) as Hc2.
  rewrite H1, Hdx in Hc1. rewrite H2, Hdx in Hc2. simpl in Hc1, Hc2.
  assert (c * e = e) by lra. lra.
Qed.
