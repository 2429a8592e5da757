//! Inputs that are about no particular service: exec, file, tail, mock.
