//! Free ports.

use std::net::TcpListener;

/// `N` different ports of 127.0.0.1 that are free now. All are held until all are chosen, so that
/// none is handed out twice.
///
/// # Panics
/// If there are no free ports.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.each_ref()
        .map(|listener| listener.local_addr().expect("its address").port())
}
