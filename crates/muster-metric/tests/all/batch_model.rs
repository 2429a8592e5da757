//! Editing a batch against a model of maps.

use std::collections::BTreeMap;

use muster_metric::{Batch, MetricMut, Timestamp, Value};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    name: String,
    tags: BTreeMap<String, String>,
    fields: Vec<(String, i64)>,
    time: Option<i64>,
}

impl Model {
    fn field(&mut self, key: &str) -> Option<&mut (String, i64)> {
        self.fields.iter_mut().find(|field| field.0 == key)
    }

    fn set_field(&mut self, key: &str, value: i64) {
        match self.field(key) {
            Some(field) => field.1 = value,
            None => self.fields.push((key.to_owned(), value)),
        }
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Add(Vec<(String, String)>, Vec<(String, i64)>),
    Name(String),
    SetTag(String, String),
    SetTagIfAbsent(String, String),
    SetTagValueAt(usize, String),
    RemoveTag(String),
    RenameTag(String, String),
    RetainTags(String),
    SetField(String, i64),
    SetFieldValueAt(usize, i64),
    RemoveField(String),
    RenameField(String, String),
    RetainFields(i64),
    Time(i64),
    Duplicate,
    Discard,
    Push,
    Stamp(i64),
}

fn edit() -> impl Strategy<Value = Edit> {
    use Edit::*;
    // Few keys, so that they meet.
    let key = || "[a-f]";
    let text = || "[a-z]{0,3}";
    let number = || -9_i64..9;
    prop_oneof![
        3 => (vec((key(), text()), 0..5), vec((key(), number()), 0..5)).prop_map(|(t, f)| Add(t, f)),
        1 => text().prop_map(Name),
        3 => (key(), text()).prop_map(|(k, v)| SetTag(k, v)),
        2 => (key(), text()).prop_map(|(k, v)| SetTagIfAbsent(k, v)),
        1 => (0_usize..4, text()).prop_map(|(at, v)| SetTagValueAt(at, v)),
        1 => key().prop_map(RemoveTag),
        2 => (key(), key()).prop_map(|(from, to)| RenameTag(from, to)),
        1 => key().prop_map(RetainTags),
        3 => (key(), number()).prop_map(|(k, v)| SetField(k, v)),
        1 => (0_usize..4, number()).prop_map(|(at, v)| SetFieldValueAt(at, v)),
        1 => key().prop_map(RemoveField),
        2 => (key(), key()).prop_map(|(from, to)| RenameField(from, to)),
        1 => number().prop_map(RetainFields),
        1 => number().prop_map(Time),
        2 => Just(Duplicate),
        1 => Just(Discard),
        1 => Just(Push),
        1 => number().prop_map(Stamp),
    ]
}

/// Does the same to the batch and to its model; `row` chooses the metric that is edited.
fn apply(edit: &Edit, row: usize, batch: &mut Batch, models: &mut Vec<Option<Model>>) {
    match edit {
        Edit::Add(tags, fields) => {
            let mut metric = batch.metric("new");
            let mut model = Model {
                name: "new".to_owned(),
                ..Model::default()
            };
            for (key, value) in tags {
                metric.add_tag(key, value);
                model.tags.insert(key.clone(), value.clone());
            }
            for (key, value) in fields {
                metric.add_field(key, *value);
                model.set_field(key, *value);
            }
            metric.untimed();
            models.push(Some(model));
            return;
        }
        Edit::Stamp(time) => {
            batch.stamp(Timestamp::from_nanos(*time));
            for model in models.iter_mut().flatten() {
                model.time.get_or_insert(*time);
            }
            return;
        }
        _ => {}
    }
    if models.is_empty() {
        return;
    }
    let row = row % models.len();
    match edit {
        Edit::Duplicate => {
            let copy = batch.duplicate(row);
            assert_eq!(copy, models[row].as_ref().map(|_| models.len()));
            if let Some(model) = models[row].clone() {
                models.push(Some(model));
            }
        }
        Edit::Push => {
            let other = batch.clone();
            if let Some(metric) = other.get(row) {
                batch.push(metric);
                models.push(models[row].clone());
            }
        }
        Edit::Discard => {
            if let Some(metric) = batch.get_mut(row) {
                metric.discard();
            }
            models[row] = None;
        }
        _ => match (batch.get_mut(row), models[row].as_mut()) {
            (Some(metric), Some(model)) => apply_to_one(edit, metric, model),
            (metric, model) => assert_eq!(metric.is_some(), model.is_some()),
        },
    }
}

fn apply_to_one(edit: &Edit, mut metric: MetricMut<'_>, model: &mut Model) {
    match edit {
        Edit::Name(name) => {
            metric.set_name(name);
            model.name.clone_from(name);
        }
        Edit::SetTag(key, value) => {
            metric.set_tag(key, value);
            model.tags.insert(key.clone(), value.clone());
        }
        Edit::SetTagIfAbsent(key, value) => {
            let set = metric.set_tag_if_absent(key, value);
            assert_eq!(set, !model.tags.contains_key(key));
            model
                .tags
                .entry(key.clone())
                .or_insert_with(|| value.clone());
        }
        Edit::SetTagValueAt(at, value) => {
            if let Some(tag) = model.tags.values_mut().nth(*at) {
                metric.set_tag_value_at(*at, value);
                tag.clone_from(value);
            }
        }
        Edit::RemoveTag(key) => {
            assert_eq!(metric.remove_tag(key), model.tags.remove(key).is_some());
        }
        Edit::RenameTag(from, to) => {
            let value = model.tags.remove(from);
            assert_eq!(metric.rename_tag(from, to), value.is_some());
            model.tags.extend(value.map(|value| (to.clone(), value)));
        }
        Edit::RetainTags(key) => {
            metric.retain_tags(|k, _| k >= key.as_str());
            model.tags.retain(|k, _| k >= key);
        }
        Edit::SetField(key, value) => {
            metric.set_field(key, *value);
            model.set_field(key, *value);
        }
        Edit::SetFieldValueAt(at, value) => {
            if let Some(field) = model.fields.get_mut(*at) {
                metric.set_field_value_at(*at, *value);
                field.1 = *value;
            }
        }
        Edit::RemoveField(key) => {
            assert_eq!(metric.remove_field(key), model.field(key).is_some());
            model.fields.retain(|field| field.0 != *key);
        }
        Edit::RenameField(from, to) => {
            assert_eq!(metric.rename_field(from, to), model.field(from).is_some());
            if from != to && model.field(from).is_some() {
                model.fields.retain(|field| field.0 != *to);
                model.field(from).unwrap().0.clone_from(to);
            }
        }
        Edit::RetainFields(least) => {
            metric.retain_fields(|_, value| value.as_f64() >= Some(*least as f64));
            model.fields.retain(|field| field.1 >= *least);
        }
        Edit::Time(time) => {
            metric.set_time(Timestamp::from_nanos(*time));
            model.time = Some(*time);
        }
        other => panic!("{other:?} is no edit of one metric"),
    }
}

fn read(batch: &Batch, row: usize) -> Option<Model> {
    let metric = batch.get(row)?;
    for (key, value) in metric.tags() {
        assert_eq!(metric.tag(key), Some(value));
    }
    Some(Model {
        name: metric.name().to_owned(),
        tags: metric
            .tags()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        fields: metric
            .fields()
            .map(|(key, value)| match value {
                Value::Int(value) => (key.to_owned(), value),
                other => panic!("{other:?} was not put in"),
            })
            .collect(),
        time: metric.time().map(Timestamp::nanos),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn edits_do_what_they_do_to_maps(edits in vec((edit(), any::<usize>()), 0..80)) {
        let (mut batch, mut models) = (Batch::new(), Vec::new());
        for (edit, row) in &edits {
            apply(edit, *row, &mut batch, &mut models);
            prop_assert_eq!(batch.rows(), models.len());
            prop_assert_eq!(batch.len(), models.iter().flatten().count());
            for (row, model) in models.iter().enumerate() {
                prop_assert_eq!(&read(&batch, row), model, "row {} after {:?}", row, edit);
                let keys = batch.get(row).map(|m| m.tags().map(|t| t.0).collect::<Vec<_>>());
                prop_assert!(keys.unwrap_or_default().is_sorted_by(|a, b| a < b));
            }
        }
    }
}
