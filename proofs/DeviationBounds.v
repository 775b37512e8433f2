(** The bound that the stability runs hold every step against (runner's module deviation_bounds).

    It is Theorems 1 and 2 with nothing estimated over time: for a perturbed trajectory ('), with
    |Δ' - Δ| <= r_Δ, |B' - B| <= r_B, |u' - u| <= r_u and a perturbation η of x_{t-1},

        |x'_t - x_t| <= c_t = s (c_{t-1} + |η|) + κ_t,   s = min(1, exp(A max(0, Δ - r_Δ)))
        κ_t = s |A| r_Δ |x_{t-1}| + r_Δ |B| |u| + (g + r_Δ) (r_B |u| + (|B| + r_B) r_u)
        |y'_t - y_t| <= ‖C_t‖_1 max_k c_t[k] + (Σ_k r_C) max_k |x'_t[k]|

    in exact arithmetic: the module's allowance for rounding is not part of it. Radii of 0 leave what
    is not perturbed as it is ("fixed parameters", "once"). *)

Require Import Reals Lra Lia Psatz PeanoNat.
Require Import Lyapunov.Vectors Lyapunov.Analysis Lyapunov.Model Lyapunov.Constants.
Require Import Lyapunov.Theorem2.
Local Open Scope R_scope.

Definition survives (delta radius a : R) : R := Rmin 1 (exp (a * Rmax 0 (delta - radius))).

Definition injected (l : layer) (x u : vec) (k : nat) (r_step r_in r_u : R) : R :=
  let d := step_size l u k in let B := Rabs (inward l u k) in let i := Rabs (u (drive l k)) in
  survives d r_step (A l k) * Rabs (A l k) * r_step * Rabs (x k) + r_step * B * i
  + (gain (hold l) d (A l k) + r_step) * (r_in * i + (B + r_in) * r_u).

(** c_t[k], given radii of time and entry. *)
Fixpoint bound (l : layer) (x0 : vec) (u : nat -> vec) (r_step r_in r_u eta : nat -> vec) (t k : nat) : R :=
  match t with
  | O => 0
  | S n => survives (step_size l (u t) k) (r_step t k) (A l k)
             * (bound l x0 u r_step r_in r_u eta n k + eta t k)
           + injected l (state l x0 u n) (u t) k (r_step t k) (r_in t k) (r_u t k)
  end.

(** exp between two points below m <= 0 has slope at most exp(m). *)
Lemma exp_lipschitz_below : forall m x y, x <= m -> y <= m -> m <= 0 ->
  Rabs (exp x - exp y) <= exp m * Rabs (x - y).
Proof.
  intros m x y Hx Hy Hm.
  replace (exp x - exp y) with (exp m * (exp (x - m) - exp (y - m))).
  - rewrite Rabs_mult, (Rabs_pos_eq (exp m)) by (left; apply exp_pos).
    apply Rmult_le_compat_l; [left; apply exp_pos|].
    replace (x - y) with ((x - m) - (y - m)) by ring. apply exp_lipschitz; lra.
  - rewrite Rmult_minus_distr_l, <- !exp_plus. f_equal; [|f_equal]; f_equal; ring.
Qed.

Lemma survives_bounds : forall d d' r a, a <= 0 -> 0 <= d -> 0 <= d' -> Rabs (d' - d) <= r ->
  exp (d' * a) <= survives d r a /\ Rabs (exp (d' * a) - exp (d * a)) <= survives d r a * Rabs a * r.
Proof.
  intros d d' r a Ha Hd Hd' Hr. pose proof (abs_between _ _ Hr) as [H1 H2].
  assert (H0r : 0 <= r) by (eapply Rle_trans; [apply Rabs_pos|exact Hr]).
  set (low := Rmax 0 (d - r)).
  assert (Hlow0 : 0 <= low) by apply Rmax_l.
  assert (Hlow : low <= d) by (apply Rmax_lub; lra).
  assert (Hlow' : low <= d') by (apply Rmax_lub; lra).
  assert (E : survives d r a = exp (a * low)).
  { unfold survives. fold low. apply Rmin_right. apply exp_le_1. nra. }
  rewrite E. split.
  - apply exp_mono. nra.
  - eapply Rle_trans; [apply (exp_lipschitz_below (a * low)); nra|].
    rewrite Rmult_assoc. apply Rmult_le_compat_l; [left; apply exp_pos|].
    rewrite <- Rmult_minus_distr_r, Rabs_mult, Rmult_comm.
    apply Rmult_le_compat_l; [apply Rabs_pos|assumption].
Qed.

Theorem deviations_within_bound : forall l x0 u d' B' u' x' e r_step r_in r_u eta, admissible l ->
  (forall t k, (k < width l)%nat ->
     0 <= d' t k /\ Rabs (d' t k - step_size l (u t) k) <= r_step t k /\
     Rabs (B' t k - inward l (u t) k) <= r_in t k /\
     Rabs (u' t (drive l k) - u t (drive l k)) <= r_u t k /\ Rabs (e t k) <= eta t k) ->
  (forall k, (k < width l)%nat -> x' O k = x0 k) ->
  (forall t k, (k < width l)%nat -> x' (S t) k
     = exp (d' (S t) k * A l k) * (x' t k + e (S t) k)
       + gain (hold l) (d' (S t) k) (A l k) * B' (S t) k * u' (S t) (drive l k)) ->
  forall N k, (k < width l)%nat ->
    Rabs (x' N k - state l x0 u N k) <= bound l x0 u r_step r_in r_u eta N k.
Proof.
  intros l x0 u d' B' u' x' e r_step r_in r_u eta Hl Hr H0 Hx' N. induction N as [|n IH]; intros k Hk.
  { simpl. rewrite (H0 k Hk), Rminus_diag_eq, Rabs_R0 by reflexivity. lra. }
  rewrite (Hx' n k Hk). specialize (IH k Hk). destruct (Hr (S n) k Hk) as (Hd0 & Hd & HB & Hi & He).
  cbn [bound state]. unfold injected, F, A_bar, B_bar.
  pose proof (A_nonpositive l Hl k Hk) as Ha. pose proof (step_nonnegative l Hl (u (S n)) k Hk) as Hd00.
  assert (Haz : hold l = ZeroOrderHold -> A l k <> 0) by (intros E; now apply (A_divides l Hl E)).
  destruct (survives_bounds _ _ _ _ Ha Hd00 Hd0 Hd) as [Hs1 Hs2].
  pose proof (gain_lipschitz (hold l) _ _ _ Ha Haz Hd00 Hd0) as Hg.
  destruct (gain_bounds (hold l) _ _ Ha Haz Hd0) as [Hg0 _].
  set (c := bound l x0 u r_step r_in r_u eta n k) in *. set (a := A l k) in *.
  set (d := step_size l (u (S n)) k) in *. set (s := survives d (r_step (S n) k) a) in *.
  set (g := gain (hold l) d a) in *. set (g' := gain (hold l) (d' (S n) k) a) in *.
  set (q := exp (d * a)) in *. set (q' := exp (d' (S n) k * a)) in *.
  set (B := inward l (u (S n)) k) in *. set (B1 := B' (S n) k) in *.
  set (i := u (S n) (drive l k)) in *. set (i' := u' (S n) (drive l k)) in *.
  set (x := state l x0 u n k) in *. set (z := x' n k) in *. set (eps := e (S n) k) in *.
  set (rd := r_step (S n) k) in *. set (rb := r_in (S n) k) in *. set (ru := r_u (S n) k) in *.
  set (h := eta (S n) k) in *.
  assert (Hq' : 0 < q') by apply exp_pos.
  assert (Hrd : 0 <= rd) by (eapply Rle_trans; [apply Rabs_pos|exact Hd]).
  assert (Hrb : 0 <= rb) by (eapply Rle_trans; [apply Rabs_pos|exact HB]).
  assert (Hg1 : g' <= g + rd) by (pose proof (Rle_abs (g' - g)); lra).
  assert (HB1 : Rabs B1 <= Rabs B + rb).
  { replace B1 with (B + (B1 - B)) by ring. eapply Rle_trans; [apply Rabs_triang|]. lra. }
  replace (q' * (z + eps) + g' * B1 * i' - (q * x + g * B * i)) with
    (q' * ((z - x) + eps) + ((q' - q) * x + ((g' - g) * (B * i) + g' * ((B1 - B) * i + B1 * (i' - i))))) by ring.
  assert (T0 : Rabs (q' * ((z - x) + eps)) <= s * (c + h)).
  { rewrite Rabs_mult, (Rabs_pos_eq q') by lra. apply Rmult_le_compat; [lra|apply Rabs_pos|assumption|].
    eapply Rle_trans; [apply Rabs_triang|]. lra. }
  assert (T1 : Rabs ((q' - q) * x) <= s * Rabs a * rd * Rabs x)
    by (rewrite Rabs_mult; apply Rmult_le_compat_r; [apply Rabs_pos|assumption]).
  assert (T2 : Rabs ((g' - g) * (B * i)) <= rd * Rabs B * Rabs i).
  { rewrite !Rabs_mult, <- Rmult_assoc. apply Rmult_le_compat_r; [apply Rabs_pos|].
    apply Rmult_le_compat_r; [apply Rabs_pos|]. lra. }
  assert (T3 : Rabs (g' * ((B1 - B) * i + B1 * (i' - i))) <= (g + rd) * (rb * Rabs i + (Rabs B + rb) * ru)).
  { rewrite Rabs_mult, (Rabs_pos_eq g') by assumption.
    apply Rmult_le_compat; [assumption|apply Rabs_pos|assumption|].
    eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_mult.
    apply Rplus_le_compat; apply Rmult_le_compat; try apply Rabs_pos; try assumption; lra. }
  eapply Rle_trans; [apply Rabs_triang|]. apply Rplus_le_compat; [exact T0|].
  eapply Rle_trans; [apply Rabs_triang|]. rewrite Rplus_assoc. apply Rplus_le_compat; [exact T1|].
  eapply Rle_trans; [apply Rabs_triang|]. lra.
Qed.

(** The outputs: [C] and [C'] are one row of C_t, unperturbed and perturbed. *)
Theorem outputs_within_bound : forall n (C C' x x' : vec) c r_out,
  (forall k, (k < n)%nat -> Rabs (x' k - x k) <= c k) ->
  (forall k, (k < n)%nat -> Rabs (C' k - C k) <= r_out k) ->
  Rabs (sum n (fun k => C' k * x' k) - sum n (fun k => C k * x k))
  <= sum n (fun k => Rabs (C k)) * largest n c + sum n r_out * max_norm n x'.
Proof.
  intros n C C' x x' c r_out Hx HC.
  replace (sum n (fun k => C' k * x' k) - sum n (fun k => C k * x k))
    with (sum n (fun k => C k * (x' k - x k)) + sum n (fun k => (C' k - C k) * x' k)).
  2:{ rewrite <- sum_plus, <- sum_minus. apply sum_ext. intros. ring. }
  eapply Rle_trans; [apply Rabs_triang|]. apply Rplus_le_compat.
  - apply sum_against. intros k Hk. eapply Rle_trans; [now apply Hx|now apply largest_ge].
  - eapply Rle_trans; [apply sum_against; intros k Hk; apply (max_norm_ge n x' k Hk)|].
    apply Rmult_le_compat_r; [apply max_norm_nonneg|]. now apply sum_le.
Qed.

(** The radii (runner's module radii) of the code's layer: row norms times ε. *)
Theorem radii_hold : forall m u u' e k, 0 <= e -> close (reads m) e u u' ->
  let l := mamba_layer m in
  Rabs (step_size l u' k - step_size l u k) <= row (reads m) (W_step m) (channel m k) * e /\
  Rabs (inward l u' k - inward l u k) <= row (reads m) (W_in m (channel m k)) (entry m k) * e /\
  Rabs (outward l u' (channel m k) k - outward l u (channel m k) k)
    <= row (reads m) (W_out m (channel m k)) (entry m k) * e.
Proof.
  intros m u u' e k He Hc l. simpl. rewrite Nat.eqb_refl. split; [|split; now apply row_moves].
  eapply Rle_trans; [apply softplus_lipschitz|].
  match goal with |- Rabs ?x <= _ => replace x with
    (apply (reads m) (W_step m) u' (channel m k) - apply (reads m) (W_step m) u (channel m k)) by ring end.
  now apply row_moves.
Qed.
