OPENQASM 3.0;
include "stdgates.inc";
gate rxx(theta) a, b { h a; h b; cx a, b; rz(theta) b; cx a, b; h a; h b; }
gate ryy(theta) a, b { rx(pi/2) a; rx(pi/2) b; cx a, b; rz(theta) b; cx a, b; rx(-pi/2) a; rx(-pi/2) b; }
qubit[2] q;
h q[0];
h q[1];
rz(0.0) q[0];
ry(0.125) q[0];
rz(0.25) q[0];
rz(0.375) q[1];
ry(0.5) q[1];
rz(0.625) q[1];
rxx(-0.7853981633974483) q[0], q[1];
ryy(-0.7853981633974483) q[0], q[1];
h q[0];
h q[1];
rz(0.75) q[0];
ry(0.875) q[0];
rz(1.0) q[0];
rz(1.125) q[1];
ry(1.25) q[1];
rz(1.375) q[1];
