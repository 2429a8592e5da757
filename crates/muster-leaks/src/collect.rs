//! Fetching the profiles of services that run. Feature `collector`.
//!
//! A [`Fetcher`] asks one [`Target`] for profiles, over one connection at a time. A [`Follower`]
//! takes samples through it and feeds a [`Watch`]: the binary profile each time, and what the watch
//! [wants](Watch::want) besides. [`Follower::pause`] says how long to wait for the next sample: longer
//! where a sample is dear to the service, or it does not answer.
//!
//! ```no_run
//! use muster_leaks::{Options, Watch};
//! use muster_leaks::collect::{Fetcher, Follower, Target};
//! # use std::time::Duration;
//! # async fn watch() -> Result<(), Box<dyn std::error::Error>> {
//! let targets = vec![Target::parse("shop:6060")?];
//! let client = muster_net::ClientBuilder::new(Duration::from_secs(30));
//! for fetcher in Fetcher::for_targets(targets, client, &Default::default())? {
//!     let watch = Watch::new(fetcher.target().to_string(), Options::default());
//!     let mut follower = Follower::new(watch, Duration::from_secs(15));
//!     let sample = follower.sample(&fetcher).await?;
//!     println!("{} goroutines", sample.profile.total);
//! }
//! # Ok(())
//! # }
//! ```

mod fetch;
mod follow;
mod pace;
mod target;
#[cfg(test)]
mod tests;

pub use fetch::{FetchError, Fetcher, MAX_DUMP_BYTES, MAX_PROFILE_BYTES};
pub use follow::{Follower, Sample};
pub use pace::{HEAVY_GOROUTINES, HEAVY_REPLY, LONGEST, Pace};
pub use target::{Target, TargetError};

#[cfg(doc)]
use crate::Watch;
