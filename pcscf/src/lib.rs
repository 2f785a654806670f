//! P-CSCF: the UE's entry point (TS 24.229 5.2)
