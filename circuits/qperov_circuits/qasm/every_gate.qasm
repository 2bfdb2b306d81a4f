OPENQASM 3.0;
include "stdgates.inc";
gate rxx(theta) a, b { h a; h b; cx a, b; rz(theta) b; cx a, b; h a; h b; }
gate ryy(theta) a, b { rx(pi/2) a; rx(pi/2) b; cx a, b; rz(theta) b; cx a, b; rx(-pi/2) a; rx(-pi/2) b; }
gate rzz(theta) a, b { cx a, b; rz(theta) b; cx a, b; }
qubit[3] q;
h q[1];
x q[1];
cx q[1], q[2];
cz q[1], q[2];
rx(0.1) q[2];
ry(0.2) q[2];
rz(0.30000000000000004) q[2];
p(0.4) q[2];
rxx(0.5) q[2], q[0];
ryy(0.6000000000000001) q[2], q[0];
rzz(0.7000000000000001) q[2], q[0];
cx q[2], q[0];
