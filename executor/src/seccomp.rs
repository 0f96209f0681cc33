//! The seccomp filter of every container: Docker's default rules for its default capabilities.
//!
//! It is compiled once a process and loaded from its bytes, as compiling costs more than the rest of a container's start. On x86-64 the
//! filter also covers 32-bit x86 and x32 programs, as Docker's does, since images with 32-bit programs exist. The price is a program of three
//! times the size. As the kernel tries the filter on every call number when it is loaded, that would double the time of loading; laid out
//! as a binary tree it loads as fast as the small one does in a row.
//!
//! A call that is newer than the libseccomp at hand fails with `ENOSYS`, not `EPERM`: C libraries fall back on the former only.
//!
//! As in Docker, `socketcall` of 32-bit x86 is allowed, behind whose pointer the socket family cannot be seen.

mod profile;

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::sys::seccomp::{Action, Builder, Condition, INSTRUCTION, number};

/// The compiled filter. The first call compiles it, while others wait.
pub(crate) fn filter() -> io::Result<&'static [u8]> {
    static FILTER: Mutex<Option<&'static [u8]>> = Mutex::new(None);
    let mut filter = FILTER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(filter) = *filter {
        return Ok(filter);
    }
    Ok(filter.insert(compile()?.leak()))
}

#[cfg(target_arch = "x86_64")]
const SUB_ARCHITECTURES: &[u32] = &[libseccomp_sys::SCMP_ARCH_X86, libseccomp_sys::SCMP_ARCH_X32];
#[cfg(target_arch = "aarch64")]
const SUB_ARCHITECTURES: &[u32] = &[libseccomp_sys::SCMP_ARCH_ARM];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const SUB_ARCHITECTURES: &[u32] = &[];

fn compile() -> io::Result<Vec<u8>> {
    // Rules are added to each architecture apart: together, adding takes libseccomp twenty times as long.
    let (mut whole, newest) = compile_for(libseccomp_sys::SCMP_ARCH_NATIVE)?;
    for architecture in SUB_ARCHITECTURES {
        whole.merge(compile_for(*architecture)?.0)?;
    }
    let mut program = refuse_newer_than(newest);
    program.extend(whole.export()?);
    Ok(program)
}

/// What is done with some calls; with a condition it concerns argument 0.
pub(crate) struct Rule {
    pub(crate) names: Vec<&'static str>,
    pub(crate) action: Action,
    pub(crate) condition: Option<Condition>,
}

/// All rules; what they do not mention fails with `EPERM`.
pub(crate) fn rules() -> Vec<Rule> {
    let allow = |names: Vec<&'static str>| Rule { names, action: Action::Allow, condition: None };
    let allow_if = |name, condition| Rule { condition: Some(condition), ..allow(vec![name]) };
    let missing = u16::try_from(libc::ENOSYS).expect("an errno fits");
    let mut rules = vec![allow([profile::ALLOWED, profile::ALLOWED_HERE].concat())];
    rules.push(allow_if("socket", Condition::LessThan(profile::FAMILIES_BELOW)));
    rules.extend(profile::FAMILIES.iter().map(|family| allow_if("socket", Condition::Equal(*family))));
    rules.extend(
        profile::PERSONALITIES.iter().map(|persona| allow_if("personality", Condition::Equal(*persona))),
    );
    rules.push(allow_if("clone", Condition::Clear(profile::NAMESPACE_FLAGS)));
    // Its flags lie behind a pointer, so that it is hidden: everybody falls back on clone.
    rules.push(Rule { action: Action::Fail(missing), ..allow(vec!["clone3"]) });
    rules
}

/// The rules for one architecture, and the number of the newest call that libseccomp knows.
fn compile_for(architecture: u32) -> io::Result<(Builder, i32)> {
    let denied = u16::try_from(libc::EPERM).expect("an errno fits");
    let mut builder = Builder::new(denied, architecture)?;
    let mut newest = 0;
    for rule in rules() {
        for name in rule.names {
            newest = newest.max(builder.add(name, rule.action, rule.condition)?.unwrap_or(0));
        }
    }
    for name in profile::KNOWN_BUT_DENIED {
        newest = newest.max(number(name)?.unwrap_or(0));
    }
    Ok((builder, newest))
}

/// Instructions that answer `ENOSYS` to calls with a number above `newest`, and go on otherwise. Since Linux 5.1 all
/// architectures number new calls alike.
fn refuse_newer_than(newest: i32) -> Vec<u8> {
    const LOAD_NUMBER: u16 = 0x20;
    const AND: u16 = 0x54;
    const JUMP_IF_GREATER: u16 = 0x25;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32_BIT: u32 = 0x4000_0000;
    // 32-bit ARM numbers its private calls from here on.
    const PRIVATE: u32 = 0x000f_0000;
    let errno = u32::try_from(libc::ENOSYS).expect("an errno is positive");
    let newest = u32::try_from(newest).expect("the newest call has a number");
    let instructions: [(u16, u8, u8, u32); 5] = [
        (LOAD_NUMBER, 0, 0, 0),
        (AND, 0, 0, !X32_BIT),
        (JUMP_IF_GREATER, 0, 2, newest),
        (JUMP_IF_AT_LEAST, 1, 0, PRIVATE),
        (RETURN, 0, 0, libseccomp_sys::SCMP_ACT_ERRNO_MASK | errno),
    ];
    let mut bytes = Vec::with_capacity(instructions.len() * INSTRUCTION);
    for (code, if_true, if_false, operand) in instructions {
        bytes.extend(code.to_ne_bytes());
        bytes.extend([if_true, if_false]);
        bytes.extend(operand.to_ne_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_compiled_once() {
        let (first, second) = (filter().unwrap(), filter().unwrap());
        assert!(std::ptr::eq(first, second));
        assert_eq!(first.len() % INSTRUCTION, 0);
    }

    #[test]
    fn the_newest_known_call_is_among_those_that_exist() {
        let (_, newest) = compile_for(libseccomp_sys::SCMP_ARCH_NATIVE).unwrap();
        assert!((435..0xf_0000).contains(&newest), "{newest}");
    }
}
