//! Servers that say what a healthy Redis says, but for some: all in one process, an address each.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use muster_tasks::Group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::measure::Failure;
use crate::usage::allow_open_files;

const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:0123456789abcdef0123456789abcdef01234567\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n";

/// Serves on all addresses of 127.0.0.0/8 at this port until it is killed.
pub(crate) fn serve(port: u16) -> Result<(), Failure> {
    allow_open_files(15_000)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let group = Group::root("fakes");
        let listener = tokio::net::TcpSocket::new_v4()?;
        listener.set_reuseaddr(true)?;
        listener.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
        let listener: TcpListener = listener.listen(4096)?;
        loop {
            let (stream, _) = listener.accept().await?;
            if let SocketAddr::V4(at) = stream.local_addr()?
                && at.ip().is_loopback()
            {
                let number = u32::from(*at.ip());
                group.go("server", async move { drop(play(stream, number).await) })?;
            }
        }
    })
}

/// One connection to the server of that number.
async fn play(mut stream: TcpStream, number: u32) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let info = format!("${}\r\n{INFO}\r\n", INFO.len());
    let mut request = [0; 512];
    loop {
        let length = stream.read(&mut request).await?;
        if length == 0 || number % 128 == 1 {
            return Ok(());
        }
        if number % 128 == 2 {
            continue;
        }
        let mut answer = Vec::new();
        // Each command is an array, and no word of it has an asterisk.
        for command in request[..length].split(|byte| *byte == b'*').skip(1) {
            let has = |word: &[u8]| command.windows(word.len()).any(|part| part == word);
            answer.extend_from_slice(match (has(b"PING"), has(b"INFO")) {
                (true, _) => b"+PONG\r\n",
                (_, true) => info.as_bytes(),
                _ => b"+OK\r\n",
            });
        }
        stream.write_all(&answer).await?;
    }
}
