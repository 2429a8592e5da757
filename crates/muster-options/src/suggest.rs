//! "Did you mean" for names that nobody knows.

/// The candidate nearest to `name`, if one is near enough to be what was meant: at most a third
/// of the letters wrong, case and `-`/`_` not counted.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = normalize(name);
    let bound = name.len().max(3) / 3;
    let distance = |candidate: &'a str| {
        let other = normalize(candidate);
        // No distance is less than the difference in length, which is quickly found.
        let near = name.len().abs_diff(other.len()) <= bound;
        let distance = near.then(|| distance(&name, &other))?;
        (distance <= bound).then_some((distance, candidate))
    };
    let near = candidates.into_iter().filter_map(distance);
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn normalize(name: &str) -> Vec<char> {
    name.chars()
        .take(64)
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Edit distance with swaps of neighbours counting once.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = (0..=a.len()).map(|i| (i..=i + b.len()).collect()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let check = |name, want| {
            let known = ["interval", "percpu", "totalcpu", "name_prefix"];
            assert_eq!(suggest(name, known), want, "{name}");
        };
        check("intervall", Some("interval"));
        check("namePrefix", Some("name_prefix"));
        check("pecrpu", Some("percpu"));
        check("bananas", None);
        check("", None);
    }
}
