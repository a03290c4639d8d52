/// A scrape in the Prometheus text format.
pub struct Metrics(pub String);

impl Metrics {
    /// The sum of all samples of `name` that have these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let matches = |line: &&str| {
            let own = line.split(['{', ' ']).next() == Some(name);
            own && wanted
                .iter()
                .all(|label| line.contains(&format!("{{{label}")) || line.contains(&format!(",{label}")))
        };
        let number = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
        self.0.lines().filter(|line| !line.starts_with('#')).filter(matches).filter_map(number).sum()
    }

    /// Whether the metric is described.
    pub fn has(&self, name: &str) -> bool {
        self.0.lines().any(|line| line.starts_with(&format!("# TYPE {name} ")))
    }

    /// Every pair of label and value in the scrape.
    pub fn labels(&self) -> Vec<(String, String)> {
        let of_line = |line: &str| -> Vec<(String, String)> {
            let Some((_, rest)) = line.split_once('{') else { return Vec::new() };
            let inner = rest.rsplit_once('}').map_or("", |(inner, _)| inner);
            let pair = |text: &str| {
                let (label, value) = text.split_once("=\"")?;
                Some((label.to_owned(), value.trim_end_matches('"').to_owned()))
            };
            inner.split("\",").filter_map(pair).collect()
        };
        self.0.lines().filter(|line| !line.starts_with('#')).flat_map(of_line).collect()
    }
}
