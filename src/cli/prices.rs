//! What an hour costs: by the user's own list, never guessed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::failure::Failure;

/// Prices in US dollars an hour.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Prices {
    /// None are given.
    None,
    /// One for every instance.
    Flat(f64),
    /// By region, type and platform.
    List {
        by: BTreeMap<(String, String, String), f64>,
        /// The file's name, without its folder.
        name: String,
        /// When the file was last written.
        of: Option<Date>,
    },
}

impl Prices {
    pub(crate) fn read(flat: Option<f64>, file: Option<&Path>) -> Result<Self, Failure> {
        match (flat, file) {
            (Some(price), _) if price.is_finite() && price > 0.0 => Ok(Self::Flat(price)),
            (Some(price), _) => {
                Err(Failure::usage(format!("--price: {price} is no price; give US dollars an hour, such as 0.096")))
            }
            (None, None) => Ok(Self::None),
            (None, Some(path)) => {
                Self::from_file(path).map_err(|what| Failure::usage(format!("--prices: {}: {what}", path.display())))
            }
        }
    }

    fn from_file(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let by = from_csv(&text)?;
        let written = fs::metadata(path).and_then(|about| about.modified()).ok();
        let of = written
            .and_then(|time| Timestamp::try_from(time).ok())
            .map(|time| TimeZone::system().to_datetime(time).date());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self::List { by, name, of })
    }

    /// The price of an instance of a type, where the list has one.
    pub(crate) fn of(&self, region: &str, instance_type: &str, platform: &str) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Flat(price) => Some(*price),
            Self::List { by, .. } => {
                let platform = if platform.is_empty() { "linux".to_owned() } else { platform.to_ascii_lowercase() };
                let key = (region.to_owned(), instance_type.to_owned(), platform);
                by.get(&key).copied()
            }
        }
    }

    /// Where the prices are from, such as `prices.csv of 20 Nov 2026`.
    pub(crate) fn source(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Flat(price) => Some(format!("{price} USD an hour for each")),
            Self::List { name, of, .. } => {
                Some(of.map_or_else(|| name.clone(), |of| format!("{name} of {}", of.strftime("%-d %b %Y"))))
            }
        }
    }
}

/// Reads `region,instance_type,usd_per_hour[,platform]`. A platform is as EC2 tells it: `windows`, or `linux`, which is
/// also what an empty one means.
fn from_csv(text: &str) -> Result<BTreeMap<(String, String, String), f64>, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let column =
        |name: &str| header.iter().position(|found| found.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name));
    let needed = |name| column(name).ok_or_else(|| format!("the first line must name the column {name}"));
    let (region, kind, price) = (needed("region")?, needed("instance_type")?, needed("usd_per_hour")?);
    let platform = column("platform");
    let mut prices = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |column: usize| record.get(column).unwrap_or_default().to_owned();
        let usd: f64 = field(price)
            .parse()
            .ok()
            .filter(|usd: &f64| usd.is_finite() && *usd >= 0.0)
            .ok_or_else(|| format!("line {line}: `{}` is no price", field(price)))?;
        let platform =
            platform.map(field).filter(|platform| !platform.is_empty()).unwrap_or_else(|| "linux".to_owned());
        let key = (field(region), field(kind), platform.to_ascii_lowercase());
        if prices.insert(key, usd).is_some_and(|before| before.to_bits() != usd.to_bits()) {
            return Err(format!("line {line}: {} in {} has another price above", field(kind), field(region)));
        }
    }
    Ok(prices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_those_of_the_list_and_no_others() {
        let list = "\u{feff}region,instance_type,usd_per_hour,platform\r\neu-west-1, m6i.large ,0.107\neu-west-1,m6i.large,0.199,Windows\n";
        let prices = Prices::List { by: from_csv(list).unwrap(), name: "p.csv".into(), of: None };
        for (region, kind, platform, price) in [
            ("eu-west-1", "m6i.large", "", Some(0.107)),
            ("eu-west-1", "m6i.large", "windows", Some(0.199)),
            ("eu-west-1", "m6i.xlarge", "", None),
            ("us-east-1", "m6i.large", "", None),
        ] {
            assert_eq!(prices.of(region, kind, platform), price, "{region} {kind} {platform}");
        }
        for (wrong, says) in [
            ("region,type\n", "the first line must name the column instance_type"),
            ("region,instance_type,usd_per_hour\na,b,free\n", "line 2: `free` is no price"),
            ("region,instance_type,usd_per_hour\na,b,NaN\n", "line 2: `NaN` is no price"),
            ("region,instance_type,usd_per_hour\na,b,1\na,b,2\n", "line 3: b in a has another price above"),
        ] {
            assert_eq!(from_csv(wrong).unwrap_err(), says, "{wrong}");
        }
    }
}
