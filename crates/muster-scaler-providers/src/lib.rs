//! Who has the servers of the scaler: one file a provider.
