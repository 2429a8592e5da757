//! Serves until it is interrupted. See the README.

use std::error::Error;
use std::net::SocketAddr;

use lazy_server::{End, Ended, Moods, Server};
use muster_tasks::Group;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what the program shows")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = match std::env::args().nth(1) {
        Some(address) => address.parse()?,
        None => SocketAddr::from(([127, 0, 0, 1], 8006)),
    };
    let root = Group::root("lazy-server");
    let tell = |Ended { mood, end, after }| match end {
        End::Answered => println!("{mood:?}: answered after {after:.1?}"),
        End::Dropped => println!("{mood:?}: the client has gone after {after:.1?}; work dropped"),
    };
    let server = Server::start(&root, address, Moods::default(), tell).await?;
    println!("listening on {}; Ctrl-C ends it", server.address());
    tokio::signal::ctrl_c().await?;
    println!("{} connections are open", server.open());
    println!("{}", root.stop().await);
    Ok(())
}
