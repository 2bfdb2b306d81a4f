OPENQASM 3.0;
include "stdgates.inc";
gate rxx(theta) a, b { h a; h b; cx a, b; rz(theta) b; cx a, b; h a; h b; }
gate ryy(theta) a, b { rx(pi/2) a; rx(pi/2) b; cx a, b; rz(theta) b; cx a, b; rx(-pi/2) a; rx(-pi/2) b; }
gate rzz(theta) a, b { cx a, b; rz(theta) b; cx a, b; }
qubit[3] q;
ry(0.5) q[0];
rz(1.0) q[0];
ry(1.5) q[1];
rz(2.0) q[1];
ry(2.5) q[2];
rz(3.0) q[2];
rxx(0.16666666666666666) q[0], q[1];
ryy(0.16666666666666666) q[0], q[1];
rzz(0.16666666666666666) q[0], q[1];
rxx(-0.3333333333333333) q[1], q[2];
ryy(-0.3333333333333333) q[1], q[2];
rzz(-0.3333333333333333) q[1], q[2];
rxx(0.16666666666666666) q[0], q[1];
ryy(0.16666666666666666) q[0], q[1];
rzz(0.16666666666666666) q[0], q[1];
rxx(-0.3333333333333333) q[1], q[2];
ryy(-0.3333333333333333) q[1], q[2];
rzz(-0.3333333333333333) q[1], q[2];
