//! Inputs that read this host: cpu, mem, disk and their kin.
//!
//! Everything here is read from `/proc`, `/sys` and a few files of `/etc` and `/run`; where these
//! are is decided in [`Roots`]. Each plugin is one file with its name: the thin part that reads,
//! beside pure functions that parse and compute. Names, types and units of what they report are
//! those that Telegraf's inputs of the same names have on Linux.

mod cpu;
mod disk;
mod diskio;
mod files;
mod globs;
mod kernel;
mod kernel_vmstat;
mod mem;
mod meminfo;
mod net;
mod netstat;
mod nstat;
mod processes;
mod procstat;
mod roots;
mod swap;
mod system;
#[cfg(test)]
mod testing;

use muster_options::Options;
use muster_plugin::{Build, FormatUse, PluginRow};

pub use roots::Roots;

/// The plugins of this crate.
pub const PLUGINS: &[PluginRow] = &[
    PluginRow {
        name: "cpu",
        summary: "how busy the processors are, and with what",
        options: cpu::Cpu::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| cpu::build(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "disk",
        summary: "space and inodes of the mounted file systems",
        options: disk::Disk::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| disk::build(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "diskio",
        summary: "reads and writes of block devices and the time they take",
        options: diskio::Diskio::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| diskio::build(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "kernel",
        summary: "counters of the kernel: interrupts, context switches, forks, entropy",
        options: kernel::Kernel::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| kernel::build(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "kernel_vmstat",
        summary: "all that the kernel counts of its virtual memory",
        options: kernel_vmstat::KernelVmstat::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| kernel_vmstat::build(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "mem",
        summary: "what the memory is used for",
        options: mem::Mem::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| mem::build(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "net",
        summary: "traffic of the network interfaces, and counters of the protocols",
        options: net::Net::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| net::build(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "netstat",
        summary: "sockets of TCP by state, and of UDP",
        options: netstat::Netstat::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| netstat::build(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "nstat",
        summary: "all that the kernel counts of the network protocols",
        options: nstat::Nstat::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| nstat::build_from_env(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "processes",
        summary: "how many processes there are in each state",
        options: processes::Processes::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| processes::build(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "procstat",
        summary: "what chosen processes use of processor, memory and files",
        options: procstat::Procstat::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| procstat::build(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "swap",
        summary: "how much swap is used, and traffic to and from it",
        options: swap::Swap::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| swap::build(cx.options(), Roots::from_env())),
    },
    PluginRow {
        name: "system",
        summary: "load, uptime, users, and what system this is",
        options: system::System::describe,
        format: FormatUse::None,
        build: Build::Input(|cx| system::build(cx.options(), Roots::from_env())),
    },
];
