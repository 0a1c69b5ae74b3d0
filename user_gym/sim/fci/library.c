/* Kinematics and dynamics of an arm of 7 joints, under the names that libfranka looks up. The tables above are the arm.
 * Matrices of the interface are column-major; ours are row-major 3 x 3. */
#include <math.h>
#include <string.h>

typedef struct {
    double turn[9][9], point[9][3]; /* links 1 .. 7, flange, end effector, in the base frame */
    double axis[7][3];
} Chain;

static void product(const double *a, const double *b, double *out) {
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            out[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
}

static void apply(const double *m, const double *v, double *out) {
    for (int i = 0; i < 3; i++) out[i] = m[3 * i] * v[0] + m[3 * i + 1] * v[1] + m[3 * i + 2] * v[2];
}

static void cross(const double *a, const double *b, double *out) {
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

static double dot(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static void rodrigues(const double *u, double angle, double *out) {
    double s = sin(angle), c = cos(angle), v = 1.0 - c;
    double m[9] = {c + u[0] * u[0] * v,        u[0] * u[1] * v - u[2] * s, u[0] * u[2] * v + u[1] * s,
                   u[0] * u[1] * v + u[2] * s, c + u[1] * u[1] * v,        u[1] * u[2] * v - u[0] * s,
                   u[0] * u[2] * v - u[1] * s, u[1] * u[2] * v + u[0] * s, c + u[2] * u[2] * v};
    memcpy(out, m, sizeof m);
}

static void chain(const double *q, const double *ee, Chain *k) {
    double turn[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, point[3] = {0, 0, 0}, fixed[9], joint[9], step[3];
    for (int i = 0; i < 7; i++) {
        apply(turn, XYZ[i], step);
        for (int j = 0; j < 3; j++) point[j] += step[j];
        product(turn, TURN[i], fixed);
        rodrigues(AXIS[i], q[i], joint);
        product(fixed, joint, turn);
        apply(turn, AXIS[i], k->axis[i]);
        memcpy(k->turn[i], turn, sizeof turn);
        memcpy(k->point[i], point, sizeof point);
    }
    memcpy(k->turn[7], turn, sizeof turn);
    apply(turn, FLANGE, step);
    for (int j = 0; j < 3; j++) k->point[7][j] = point[j] + step[j];
    if (ee) {
        double own[9] = {ee[0], ee[4], ee[8], ee[1], ee[5], ee[9], ee[2], ee[6], ee[10]};
        product(turn, own, k->turn[8]);
        apply(turn, ee + 12, step);
        for (int j = 0; j < 3; j++) k->point[8][j] = k->point[7][j] + step[j];
    }
}

static void frame(int n, const double *q, const double *ee, double *out) {
    Chain k;
    chain(q, ee, &k);
    memset(out, 0, 16 * sizeof *out);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) out[4 * j + i] = k.turn[n][3 * i + j];
        out[12 + i] = k.point[n][i];
    }
    out[15] = 1.0;
}

static void columns(const Chain *k, int last, const double *point, double linear[7][3], double angular[7][3]) {
    memset(linear, 0, 21 * sizeof(double));
    memset(angular, 0, 21 * sizeof(double));
    for (int i = 0; i <= last && i < 7; i++) {
        double arm[3] = {point[0] - k->point[i][0], point[1] - k->point[i][1], point[2] - k->point[i][2]};
        cross(k->axis[i], arm, linear[i]);
        memcpy(angular[i], k->axis[i], 3 * sizeof(double));
    }
}

static void jacobian(int n, const double *q, const double *ee, int body, double *out) {
    Chain k;
    double linear[7][3], angular[7][3];
    chain(q, ee, &k);
    columns(&k, n, k.point[n], linear, angular);
    for (int i = 0; i < 7; i++)
        for (int r = 0; r < 3; r++) {
            const double *m = k.turn[n];
            out[6 * i + r] = body ? m[r] * linear[i][0] + m[3 + r] * linear[i][1] + m[6 + r] * linear[i][2] : linear[i][r];
            out[6 * i + 3 + r] =
                body ? m[r] * angular[i][0] + m[3 + r] * angular[i][1] + m[6 + r] * angular[i][2] : angular[i][r];
        }
}

/* Bodies 0 .. 6 are the links, 7 is the load at the flange. */
static void body(const Chain *k, int b, const double *load_com, const double *load_inertia, double load, double *mass,
                 double *com, double *inertia) {
    const double *turn = k->turn[b], *local = b < 7 ? INERTIA[b] : load_inertia;
    double step[3], half[9], back[9];
    *mass = b < 7 ? MASS[b] : load;
    apply(turn, b < 7 ? COM[b] : load_com, step);
    for (int j = 0; j < 3; j++) com[j] = k->point[b][j] + step[j];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) back[3 * i + j] = turn[3 * j + i];
    if (!local) {
        memset(inertia, 0, 9 * sizeof(double));
        return;
    }
    product(turn, local, half);
    product(half, back, inertia);
}

void M_NE(const double *q, const double *load_inertia, double load, const double *load_com, double *out) {
    Chain k;
    chain(q, 0, &k);
    memset(out, 0, 49 * sizeof *out);
    for (int b = 0; b < 8; b++) {
        double mass, com[3], inertia[9], linear[7][3], angular[7][3], spin[3];
        body(&k, b, load_com, load_inertia, load, &mass, com, inertia);
        columns(&k, b, com, linear, angular);
        for (int i = 0; i < 7; i++) {
            apply(inertia, angular[i], spin);
            for (int j = 0; j < 7; j++) out[7 * i + j] += mass * dot(linear[i], linear[j]) + dot(spin, angular[j]);
        }
    }
}

void c_NE(const double *q, const double *dq, const double *load_inertia, double load, const double *load_com, double *out) {
    Chain k;
    /* Velocities and accelerations (without ddq and gravity) of each joint's frame, base axes. */
    double spin[3] = {0, 0, 0}, turning[3] = {0, 0, 0}, rising[3] = {0, 0, 0}, before[3] = {0, 0, 0};
    chain(q, 0, &k);
    memset(out, 0, 7 * sizeof *out);
    for (int b = 0; b < 8; b++) {
        double mass, com[3], inertia[9], linear[7][3], angular[7][3], a[3], c[3], force[3], moment[3], momentum[3];
        if (b < 7) {
            double arm[3], own[3];
            for (int j = 0; j < 3; j++) arm[j] = k.point[b][j] - before[j];
            cross(turning, arm, a);
            cross(spin, arm, c);
            for (int j = 0; j < 3; j++) rising[j] += a[j];
            cross(spin, c, a);
            for (int j = 0; j < 3; j++) rising[j] += a[j], own[j] = dq[b] * k.axis[b][j];
            cross(spin, own, a);
            for (int j = 0; j < 3; j++) turning[j] += a[j], spin[j] += own[j], before[j] = k.point[b][j];
        }
        body(&k, b, load_com, load_inertia, load, &mass, com, inertia);
        double arm[3] = {com[0] - before[0], com[1] - before[1], com[2] - before[2]};
        cross(turning, arm, a);
        cross(spin, arm, c);
        cross(spin, c, force);
        for (int j = 0; j < 3; j++) force[j] = mass * (rising[j] + a[j] + force[j]);
        apply(inertia, turning, moment);
        apply(inertia, spin, momentum);
        cross(spin, momentum, a);
        for (int j = 0; j < 3; j++) moment[j] += a[j];
        columns(&k, b, com, linear, angular);
        for (int i = 0; i < 7; i++) out[i] += dot(linear[i], force) + dot(angular[i], moment);
    }
}

void g_NE(const double *q, const double *gravity, double load, const double *load_com, double *out) {
    Chain k;
    chain(q, 0, &k);
    memset(out, 0, 7 * sizeof *out);
    for (int b = 0; b < 8; b++) {
        double mass, com[3], inertia[9], linear[7][3], angular[7][3];
        body(&k, b, load_com, 0, load, &mass, com, inertia);
        columns(&k, b, com, linear, angular);
        for (int i = 0; i < 7; i++) out[i] -= mass * dot(linear[i], gravity);
    }
}

#define FRAME(N) \
    void O_T_J##N(const double *q, double *out) { frame(N - 1, q, 0, out); }
#define JACOBIANS(N)                                                               \
    void O_J_J##N(const double *q, double *out) { jacobian(N - 1, q, 0, 0, out); } \
    void Ji_J_J##N(const double *q, double *out) { jacobian(N - 1, q, 0, 1, out); }

FRAME(1) FRAME(2) FRAME(3) FRAME(4) FRAME(5) FRAME(6) FRAME(7) FRAME(8)
JACOBIANS(2) JACOBIANS(3) JACOBIANS(4) JACOBIANS(5) JACOBIANS(6) JACOBIANS(7) JACOBIANS(8)

/* Joint 1 moves its own frame the same way wherever it stands: libfranka passes no q. */
static const double ANYWHERE[7];
void O_J_J1(double *out) { jacobian(0, ANYWHERE, 0, 0, out); }
void Ji_J_J1(double *out) { jacobian(0, ANYWHERE, 0, 1, out); }
void O_T_J9(const double *q, const double *ee, double *out) { frame(8, q, ee, out); }
void O_J_J9(const double *q, const double *ee, double *out) { jacobian(8, q, ee, 0, out); }
void Ji_J_J9(const double *q, const double *ee, double *out) { jacobian(8, q, ee, 1, out); }
