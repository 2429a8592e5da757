//! What the kernel says of a socket.

use std::io;
use std::net::SocketAddr;

/// How many datagrams the kernel has dropped because the socket's buffer was full: the last column of
/// `/proc/net/udp` (or `udp6`). `None` if the socket is not listed.
///
/// # Errors
/// If the file cannot be read.
pub fn dropped(socket: SocketAddr) -> io::Result<Option<u64>> {
    let file = if socket.is_ipv4() {
        "/proc/net/udp"
    } else {
        "/proc/net/udp6"
    };
    Ok(drops_of(&std::fs::read_to_string(file)?, socket.port()))
}

fn drops_of(table: &str, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace();
        let (_, local) = columns.nth(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(local, 16).ok()? == port;
        columns.next_back()?.parse().ok().filter(|_| is_it)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_column_of_the_right_line() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
             12: 0100007F:18C7 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 17\n \
             13: 0100007F:18C8 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0\n";
        assert_eq!(super::drops_of(table, 6343), Some(17));
        assert_eq!(super::drops_of(table, 6344), Some(0));
        assert_eq!(super::drops_of(table, 6345), None);
    }
}
