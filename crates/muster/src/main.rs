//! A metrics agent that is never restarted and never leaks.

use std::process::ExitCode;

use muster_plugin::Registry;

#[cfg(feature = "profiling")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(not(feature = "profiling"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let registry = Registry::new(&[
        muster_plugins_host::PLUGINS,
        muster_plugins_generic::PLUGINS,
        muster_plugins_net::PLUGINS,
        muster_plugins_processors::PLUGINS,
        muster_plugins_aggregators::PLUGINS,
        muster_plugins_outputs::PLUGINS,
        muster_sentinel::PLUGINS,
        muster_scaler::PLUGINS,
    ]);
    muster_cli::main(registry)
}
