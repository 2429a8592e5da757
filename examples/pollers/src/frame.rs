//! What a sampled frame says of its sender and receiver: Ethernet, VLAN tags, IPv4 and IPv6, and ports.

use std::net::IpAddr;

/// Who talked to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conversation {
    /// The sender.
    pub from: IpAddr,
    /// The receiver.
    pub to: IpAddr,
    /// The protocol above IP: 6 is TCP, 17 UDP.
    pub protocol: u8,
    /// The ports of sender and receiver, if the protocol has any and they were sampled.
    pub ports: Option<(u16, u16)>,
}

/// Reads the beginning of an Ethernet frame; `None` if it carries no IP or is too short to say.
#[must_use]
pub fn conversation(frame: &[u8]) -> Option<Conversation> {
    let mut rest = frame.get(12..)?;
    loop {
        let (kind, next) = rest.split_first_chunk()?;
        match u16::from_be_bytes(*kind) {
            // A tag of a virtual network, or of two inside each other.
            0x8100 | 0x88a8 => rest = next.get(2..)?,
            0x0800 => return ipv4(next),
            0x86dd => return ipv6(next),
            _ => return None,
        }
    }
}

fn ipv4(packet: &[u8]) -> Option<Conversation> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    let fragment = u16::from_be_bytes(*packet.get(6..)?.first_chunk()?) & 0x1fff;
    let from = *packet.get(12..)?.first_chunk::<4>()?;
    let to = *packet.get(16..)?.first_chunk::<4>()?;
    let protocol = *packet.get(9)?;
    let payload = packet.get(length.max(20)..).filter(|_| fragment == 0);
    Some(Conversation {
        from: from.into(),
        to: to.into(),
        protocol,
        ports: payload.and_then(|payload| ports(protocol, payload)),
    })
}

fn ipv6(packet: &[u8]) -> Option<Conversation> {
    let from = *packet.get(8..)?.first_chunk::<16>()?;
    let to = *packet.get(24..)?.first_chunk::<16>()?;
    let protocol = *packet.get(6)?;
    Some(Conversation {
        from: from.into(),
        to: to.into(),
        protocol,
        ports: packet
            .get(40..)
            .and_then(|payload| ports(protocol, payload)),
    })
}

fn ports(protocol: u8, payload: &[u8]) -> Option<(u16, u16)> {
    if !matches!(protocol, 6 | 17) {
        return None;
    }
    let from = u16::from_be_bytes(*payload.first_chunk()?);
    let to = u16::from_be_bytes(*payload.get(2..)?.first_chunk()?);
    Some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ports() {
        let mut frame = vec![0; 12];
        frame.extend([0x81, 0x00, 0x00, 0x05, 0x08, 0x00]);
        let mut packet = vec![
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        packet.extend([0x30, 0x39, 0x01, 0xbb]);
        frame.extend(&packet);
        let told = conversation(&frame).unwrap();
        assert_eq!(
            (told.from.to_string(), told.to.to_string()),
            ("10.0.0.1".into(), "10.0.0.2".into())
        );
        assert_eq!((told.protocol, told.ports), (6, Some((12345, 443))));
        assert_eq!(conversation(&frame[..frame.len() - 1]).unwrap().ports, None);
        assert_eq!(conversation(&frame[..30]), None);

        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 4, 17, 64]);
        frame.extend([1; 16]);
        frame.extend([2; 16]);
        frame.extend([0, 53, 0, 54]);
        assert_eq!(conversation(&frame).unwrap().ports, Some((53, 54)));
        assert_eq!(conversation(&[0; 14]), None);
    }
}
