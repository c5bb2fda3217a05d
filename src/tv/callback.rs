//! Whom the server may call back: the address a command came from, if it is in `callback_allow`
//! and is a single host on a network. What keeps an inverted server from being a weapon.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::Allow;

/// The networks of `callback_allow`, with the words resolved.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Networks(Vec<IpNet>);

impl Networks {
    /// `attached` are the networks of this machine's interfaces.
    pub(super) fn new(allow: &[Allow], attached: &[IpNet]) -> Self {
        let mut networks = Vec::new();
        for rule in allow {
            match rule {
                Allow::Loopback => networks.extend(parsed(&["127.0.0.0/8", "::1/128"])),
                Allow::Private => networks.extend(parsed(&[
                    "10.0.0.0/8",
                    "172.16.0.0/12",
                    "192.168.0.0/16",
                    "fc00::/7",
                ])),
                Allow::Attached => networks.extend_from_slice(attached),
                Allow::Net(network) => networks.push(*network),
            }
        }
        Self(networks)
    }

    pub(super) fn allow(&self, address: IpAddr) -> bool {
        is_host(address)
            && !self.is_broadcast(address)
            && self.0.iter().any(|net| net.contains(&address))
    }

    /// The last address of an IPv4 network that is known here goes to everyone in it.
    fn is_broadcast(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        self.0.iter().any(|net| match net {
            IpNet::V4(net) => net.prefix_len() < 31 && net.broadcast() == address,
            IpNet::V6(_) => false,
        })
    }
}

fn parsed(networks: &[&str]) -> Vec<IpNet> {
    networks.iter().map(|n| n.parse().expect("the networks above are well-formed")).collect()
}

/// IPv4 addresses that came in through an IPv6 socket are the IPv4 addresses they are.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Never a group, everyone, nobody, a link-local address or a cloud's metadata service (IPv4:
/// link-local; IPv6: `fd00:ec2::254`, AWS).
fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            !(a.is_multicast() || a.is_broadcast() || a.is_link_local() || a.octets()[0] == 0)
        }
        IpAddr::V6(a) => {
            let metadata = [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254];
            !(a.is_multicast()
                || a.is_unspecified()
                || a.is_unicast_link_local()
                || a.segments() == metadata)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(networks: &Networks, address: &str) -> bool {
        networks.allow(canonical(address.parse().unwrap()))
    }

    #[test]
    fn by_default_only_near_hosts_are_called() {
        let attached = ["198.51.100.0/24".parse().unwrap()];
        let networks =
            Networks::new(&[Allow::Loopback, Allow::Private, Allow::Attached], &attached);
        for near in ["127.0.0.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "198.51.100.7", "::1"] {
            assert!(allows(&networks, near), "{near}");
        }
        assert!(allows(&networks, "::ffff:10.1.2.3"));
        for far in ["8.8.8.8", "172.32.0.1", "198.51.101.1", "2001:db8::1"] {
            assert!(!allows(&networks, far), "{far}");
        }
    }

    #[test]
    fn no_rule_opens_groups_broadcasts_or_metadata() {
        let all = [Allow::Net("0.0.0.0/0".parse().unwrap()), Allow::Net("::/0".parse().unwrap())];
        let networks = Networks::new(&all, &["203.0.113.0/24".parse().unwrap()]);
        assert!(allows(&networks, "8.8.8.8"));
        for never in [
            "224.0.0.1",
            "255.255.255.255",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "ff02::1",
            "fe80::1",
            "::",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
        ] {
            assert!(!allows(&networks, never), "{never}");
        }
        let near = Networks::new(&[Allow::Attached], &["203.0.113.0/24".parse().unwrap()]);
        assert!(!allows(&near, "203.0.113.255"));
    }
}
