//! Masquerading and what steps must not reach, as rules of `nft`, or of `iptables` where that is all there is.

use super::bridge::Subnet;
use super::tool;
use crate::Error;

/// Loopback and link-local: services there trust whoever can reach them, such as a cloud's metadata service.
const FORBIDDEN: [&str; 2] = ["127.0.0.0/8", "169.254.0.0/16"];

/// Installs the rules for a bridge.
pub(super) fn set_up(bridge: &str, subnet: Subnet) -> Result<(), Error> {
    if tool::exists("nft") {
        tool::run("nft", &["-f", "-"], &ruleset(bridge, subnet))?;
        // A packet must please every table, and Docker's lets nothing through that is not its own.
        if forwarding_is_closed() {
            accept_forwarding(bridge, "-I")?;
        }
        return Ok(());
    }
    for rule in iptables_rules(bridge, subnet) {
        let rule: Vec<&str> = rule.split(' ').collect();
        let arguments: Vec<&str> = ["-w"].into_iter().chain(rule).collect();
        tool::run("iptables", &arguments, "")?;
    }
    accept_forwarding(bridge, "-I")
}

/// Removes the rules of a bridge, whichever tool made them.
pub(super) fn remove(bridge: &str) {
    // Each is there or not; what is not cannot be removed.
    let _absent =
        tool::run("nft", &["-f", "-"], &format!("delete table ip {bridge}\ndelete table ip6 {bridge}\n"));
    let Ok(all) = tool::run("iptables-save", &[], "") else { return };
    if !all.contains(&format!(" {bridge} ")) && !all.contains(&format!("\"{bridge}\"")) {
        return;
    }
    let mut table = "filter";
    for line in all.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(rule) = line.strip_prefix("-A ")
            && rule.split(' ').any(|word| word == bridge)
        {
            let arguments: Vec<&str> = ["-w", "-t", table, "-D"].into_iter().chain(rule.split(' ')).collect();
            let _gone = tool::run("iptables", &arguments, "");
        }
    }
}

fn ruleset(bridge: &str, subnet: Subnet) -> String {
    let forbidden = FORBIDDEN.join(", ");
    format!(
        "table ip {bridge} {{\n\
           chain entrance {{\n\
             type filter hook prerouting priority raw; policy accept;\n\
             iifname \"{bridge}\" ip saddr != {subnet} drop\n\
             iifname \"{bridge}\" ip daddr {{ {forbidden} }} drop\n\
           }}\n\
           chain forward {{\n\
             type filter hook forward priority filter; policy accept;\n\
             iifname \"{bridge}\" oifname \"{bridge}\" drop\n\
             oifname \"{bridge}\" ct state established,related accept\n\
             oifname \"{bridge}\" drop\n\
           }}\n\
           chain exit {{\n\
             type nat hook postrouting priority srcnat; policy accept;\n\
             ip saddr {subnet} oifname != \"{bridge}\" masquerade\n\
           }}\n\
         }}\n\
         table ip6 {bridge} {{\n\
           chain entrance {{\n\
             type filter hook prerouting priority raw; policy accept;\n\
             iifname \"{bridge}\" drop\n\
           }}\n\
         }}\n"
    )
}

/// Rules that end in the same, without the table of IPv6, which is off on the interfaces.
fn iptables_rules(bridge: &str, subnet: Subnet) -> Vec<String> {
    let mut rules = vec![
        format!("-t raw -A PREROUTING -i {bridge} ! -s {subnet} -j DROP"),
        format!("-t nat -A POSTROUTING -s {subnet} ! -o {bridge} -j MASQUERADE"),
        format!("-I FORWARD -o {bridge} -j DROP"),
    ];
    rules
        .extend(FORBIDDEN.iter().map(|range| format!("-t raw -A PREROUTING -i {bridge} -d {range} -j DROP")));
    rules
}

fn forwarding_is_closed() -> bool {
    tool::run("iptables", &["-w", "-S", "FORWARD"], "")
        .is_ok_and(|rules| !rules.starts_with("-P FORWARD ACCEPT"))
}

fn accept_forwarding(bridge: &str, how: &str) -> Result<(), Error> {
    let replies = ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"];
    let arrive: Vec<&str> =
        ["-w", how, "FORWARD", "-o", bridge].into_iter().chain(replies).chain(["-j", "ACCEPT"]).collect();
    tool::run("iptables", &["-w", how, "FORWARD", "-i", bridge, "!", "-o", bridge, "-j", "ACCEPT"], "")?;
    tool::run("iptables", &arrive, "").map(drop)
}
