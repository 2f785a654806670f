//! I-CSCF: finds the S-CSCF (TS 24.229 5.3)
