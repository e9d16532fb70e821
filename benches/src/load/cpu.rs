//! CPU time of a process and all it started, from `/proc`.

use std::fs;
use std::iter::Sum;
use std::ops::Sub;
use std::time::Duration;

/// User and system time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuTime {
    /// In user mode.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
}

impl CpuTime {
    /// Both.
    pub fn total(self) -> Duration {
        self.user + self.system
    }
}

impl Sub for CpuTime {
    type Output = CpuTime;

    fn sub(self, earlier: CpuTime) -> CpuTime {
        CpuTime {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

impl Sum for CpuTime {
    fn sum<I: Iterator<Item = CpuTime>>(times: I) -> CpuTime {
        times.fold(CpuTime::default(), |sum, time| CpuTime {
            user: sum.user + time.user,
            system: sum.system + time.system,
        })
    }
}

struct Process {
    pid: u32,
    parent: u32,
    time: CpuTime,
}

/// The time a process and its living descendants have used so far; zero if there is no such process.
pub fn cpu_of(pid: u32) -> CpuTime {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let all: Vec<Process> =
        names.filter_map(|name| name.to_str()?.parse().ok()).filter_map(process).collect();
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(all.iter().filter(|p| p.parent == parent && p.pid != parent).map(|p| p.pid));
        at += 1;
    }
    all.iter().filter(|p| family.contains(&p.pid)).fold(CpuTime::default(), |sum, p| CpuTime {
        user: sum.user + p.time.user,
        system: sum.system + p.time.system,
    })
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc(5): the name in parentheses may hold spaces and parentheses itself; fields are counted behind its end.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Linux reports in hundredths of a second, whatever its own tick is.
    let ticks = |i: usize| Some(Duration::from_millis(fields.get(i)?.parse::<u64>().ok()? * 10));
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        time: CpuTime { user: ticks(11)?, system: ticks(12)? },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_used_is_seen() {
        let me = std::process::id();
        let before = cpu_of(me);
        let mut n = 0_u64;
        while (cpu_of(me) - before).total() < Duration::from_millis(20) {
            n = std::hint::black_box(n + 1);
        }
        assert!(cpu_of(me).total() > before.total());
        assert_eq!(cpu_of(u32::MAX), CpuTime::default());
    }
}
