//! Inputs that read this host: cpu, mem, disk and their kin.
