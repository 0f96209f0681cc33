//! `EXPOSE`: ports and ranges with a protocol.

use crate::diagnostic::{Error, Span};

/// Ports of one protocol, first to last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Ports {
    protocol: String,
    first: u16,
    last: u16,
}

impl Ports {
    /// Reads `[[address:]host:]container[/protocol]`; only the container's side counts.
    pub(super) fn parse(text: &str, span: Span) -> Result<Self, Error> {
        let invalid = |message: String| {
            Error::new(span, message)
                .with_hint("write a port or range and a protocol, such as `80` or `8000-8010/udp`")
        };
        let (outside, inside) = match text.rsplit_once(':') {
            Some((outside, inside)) => (Some(outside), inside),
            None => (None, text),
        };
        let (port, protocol) = inside.split_once('/').unwrap_or((inside, ""));
        if port.is_empty() {
            return Err(invalid(format!("no port specified: {text}<empty>")));
        }
        let protocol = match protocol.to_lowercase().as_str() {
            "" => "tcp".to_owned(),
            known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
            other => return Err(invalid(format!("invalid proto: {other}"))),
        };
        let (first, last) = range(port).ok_or_else(|| invalid(format!("invalid containerPort: {port}")))?;
        if let Some(outside) = outside {
            check_outside(outside, (first, last)).map_err(invalid)?;
        }
        Ok(Self { protocol, first, last })
    }

    /// The ports one by one, as the image's configuration names them.
    pub(super) fn each(&self) -> impl Iterator<Item = String> + '_ {
        (self.first..=self.last).map(|port| format!("{port}/{}", self.protocol))
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.last - self.first) + 1
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    match text.split_once('-') {
        None => number(text).map(|port| (port, port)),
        Some((first, last)) => number(first).zip(number(last)).filter(|(first, last)| first <= last),
    }
}

/// The host's side is checked, and then forgotten: an image cannot publish ports.
fn check_outside(text: &str, (first, last): (u16, u16)) -> Result<(), String> {
    let (address, host) = text.rsplit_once(':').unwrap_or(("", text));
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if !bare.is_empty() && bare.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("invalid IP address: {address}"));
    }
    if host.is_empty() {
        return Ok(());
    }
    let (host_first, host_last) = range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?;
    if host_last - host_first != last - first && first != last {
        return Err(format!(
            "invalid ranges specified for container and host Ports: {first}-{last} and {host}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(text: &str) -> Result<Vec<String>, String> {
        let ports = Ports::parse(text, Span::at(1, 1)).map_err(|error| error.diagnostic().message.clone())?;
        Ok(ports.each().collect())
    }

    #[test]
    fn ports_ranges_and_protocols_are_read() {
        assert_eq!(each("80").unwrap(), ["80/tcp"]);
        assert_eq!(each("8000-8001/UDP").unwrap(), ["8000/udp", "8001/udp"]);
        assert_eq!(each("127.0.0.1:80:8080/tcp").unwrap(), ["8080/tcp"]);
        assert_eq!(each("[::1]:1-2:3-4").unwrap(), ["3/tcp", "4/tcp"]);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in
            ["", "x", "/tcp", "80/icmp", "70000", "2-1", "1-2-3", "x:80", "300.1.1.1:1:1", "1-3:4-5", "+1"]
        {
            assert!(each(text).is_err(), "{text}");
        }
    }
}
