//! The receiver: one task takes datagrams from the socket, a pool decodes them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_tasks::{Closed, Ctx, Group, Pool, PoolReport};
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;

use crate::sflow::{FlowRecord, Sample};
use crate::{frame, kernel, sflow};

/// Room for datagrams in the kernel, in bytes, as far as it grants it.
const KERNEL_BUFFER: usize = 4 << 20;
/// Longest datagram.
const LONGEST: usize = 65_535;
/// How long the end may take: what is in the kernel's buffer and the queue is still decoded.
const GRACE: Duration = Duration::from_secs(5);

/// Receives sFlow datagrams on a UDP socket.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    counts: Arc<Counts>,
    socket: Group,
    pool: Pool<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Counts {
    datagrams: AtomicU64,
    malformed: AtomicU64,
    flows: AtomicU64,
    counters: AtomicU64,
    conversations: AtomicU64,
}

/// What was received so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Datagrams that were taken from the socket.
    pub datagrams: u64,
    /// Of these, datagrams that were none of sFlow version 5.
    pub malformed: u64,
    /// Samples of packets.
    pub flows: u64,
    /// Samples of counters.
    pub counters: u64,
    /// Sampled packets whose addresses could be read.
    pub conversations: u64,
    /// Datagrams that the kernel has dropped because nobody took them in time.
    pub dropped_by_kernel: u64,
}

/// Why a receiver could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The socket.
    #[error("failed to listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The group takes no more tasks.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl Receiver {
    /// Starts to receive, with so many workers.
    ///
    /// # Errors
    /// [`StartError`] if it cannot listen there.
    pub fn start(group: &Group, address: SocketAddr, workers: usize) -> Result<Self, StartError> {
        let listen = |error| StartError::Listen { address, error };
        let socket = bind(address).map_err(listen)?;
        let address = socket.local_addr().map_err(listen)?;
        let counts = Arc::new(Counts::default());
        let of_workers = Arc::clone(&counts);
        let pool = group.pool("decoders").size(workers).queue(4096);
        let pool: Pool<Vec<u8>> = pool.worker(move |bytes: Vec<u8>, _cx| {
            of_workers.count(&bytes);
            std::future::ready(())
        })?;
        let (of_socket, jobs) = (Arc::clone(&counts), pool.clone());
        let socket_group = group.group("socket");
        socket_group.go_cx("receive", move |cx| receive(cx, socket, jobs, of_socket))?;
        Ok(Self {
            address,
            counts,
            socket: socket_group,
            pool,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The pool, to resize it and to look at its counts.
    #[must_use]
    pub fn pool(&self) -> &Pool<Vec<u8>> {
        &self.pool
    }

    /// What was received so far.
    #[must_use]
    pub fn received(&self) -> Received {
        let get = |count: &AtomicU64| count.load(Ordering::Acquire);
        let counts = &self.counts;
        Received {
            datagrams: get(&counts.datagrams),
            malformed: get(&counts.malformed),
            flows: get(&counts.flows),
            counters: get(&counts.counters),
            conversations: get(&counts.conversations),
            dropped_by_kernel: kernel::dropped(self.address).ok().flatten().unwrap_or(0),
        }
    }

    /// Ends it: first the socket, then, when everything in the queue was decoded, the workers.
    pub async fn stop(&self) -> PoolReport {
        let report = self.socket.stop().await;
        debug_assert!(report.is_clean(), "{report}");
        self.pool
            .stop_with(muster_tasks::StopOptions::grace(GRACE))
            .await
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    // The kernel grants what it may; what does not fit is counted as dropped.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

async fn receive(cx: Ctx, socket: UdpSocket, jobs: Pool<Vec<u8>>, counts: Arc<Counts>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        let received = match cx
            .at("waiting for a datagram")
            .run(socket.recv(&mut buffer))
            .await
        {
            Ok(received) => received,
            Err(_cancelled) => break,
        };
        if let Ok(length) = received {
            let bytes = buffer.get(..length).unwrap_or_default().to_vec();
            counts.datagrams.fetch_add(1, Ordering::AcqRel);
            // Waits while the queue is full: then the kernel's buffer fills, and then it drops.
            if jobs.go(bytes).await.is_err() {
                break;
            }
        }
    }
}

impl Counts {
    fn count(&self, bytes: &[u8]) {
        let add = |count: &AtomicU64| {
            count.fetch_add(1, Ordering::AcqRel);
        };
        let Ok(datagram) = sflow::decode(bytes) else {
            return add(&self.malformed);
        };
        for sample in &datagram.samples {
            let Sample::Flow(flow) = sample else {
                add(&self.counters);
                continue;
            };
            add(&self.flows);
            for record in &flow.records {
                if let FlowRecord::Header {
                    protocol: 1, bytes, ..
                } = record
                    && frame::conversation(bytes).is_some()
                {
                    add(&self.conversations);
                }
            }
        }
    }
}
