//! Inputs that speak to or listen on the network.
