use std::{fs, thread, time::Duration};

/// A running process, as the system sees it.
pub struct Process(pub u32);

impl Process {
    /// Its memory that is in use, in bytes.
    pub fn memory(&self) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// The share of one core that it uses for as long as `time`.
    pub fn load_during(&self, time: Duration) -> f64 {
        let before = self.ticks();
        thread::sleep(time);
        let ticks = u32::try_from(self.ticks() - before).unwrap();
        f64::from(ticks) / TICKS / time.as_secs_f64()
    }

    /// The time it has run on a core, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = self.read("stat");
        // The name in brackets may hold anything; the times are the 12th and 13th field after it.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
    }

    /// A line of what the system tells about it, without its name.
    pub fn status(&self, name: &str) -> String {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name}: {status}")).trim().to_owned()
    }

    /// Soft and hard limit of this name, as `/proc/PID/limits` tells them.
    pub fn limit(&self, name: &str) -> [String; 2] {
        let limits = self.read("limits");
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{limits}"));
        let mut words = line.split_whitespace().map(str::to_owned);
        [(); 2].map(|()| words.next().unwrap())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0)).unwrap()
    }
}

/// Clock ticks of a second, as /proc counts them on every Linux.
const TICKS: f64 = 100.0;
