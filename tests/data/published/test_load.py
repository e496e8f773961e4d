import json
import re
import shutil
import warnings

import numpy as np
import pytest
from published_fixtures import FIXTURES, write_all, write_image, write_list

from ordlib import list_published, load_published
from ordlib.data.published import check_published
from ordlib.data.published.load import DATASETS


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return write_all(tmp_path_factory)


def load(roots, name, **options):
    with warnings.catch_warnings(action="ignore"):
        return load_published(name, roots[name], **options)


def sizes(splits):
    return {name: len(data) for name, data in splits.items()}


# By data set and protocol: images by split, and the smallest and largest label.
EXPECTED = {
    ("adience", "five folds"): ({"train": 48, "test": 12}, (0, 7)),
    ("adience", "ranking adapter"): ({"train": 38, "test": 22}, (0, 7)),
    ("morph", "D"): ({"train": 27, "test": 9}, (16, 73)),
    ("morph", "A"): ({"train": 28, "test": 8}, (16, 73)),
    ("morph", "B"): ({"train": 12, "test": 24}, (16, 73)),
    ("morph", "C"): ({"train": 28, "test": 8}, (16, 73)),
    ("morph", "OrdinalCLIP"): ({"train": 24, "test": 12}, (16, 75)),
    ("utkface", "names"): ({"train": 16, "test": 4}, (0, 114)),
    ("clap2015", "challenge"): ({"train": 6, "val": 6, "test": 6}, (3, 71)),
    ("clap2016", "challenge"): ({"train": 6, "val": 6, "test": 6}, (10.5, 45.5)),
    ("fgnet", "leave one subject out"): ({"train": 12, "test": 4}, (2, 43)),
    ("cacd", "names"): ({"train": 12, "test": 6}, (14, 46)),
    ("hci", "NumCLIP"): ({"train": 30, "val": 10, "test": 10}, (0, 4)),
    ("hci", "ranking adapter"): ({"train": 40, "test": 10}, (0, 4)),
    ("hci", "L2RCLIP"): ({"train": 45, "test": 5}, (0, 4)),
    ("hci", "images"): ({"train": 45, "test": 5}, (0, 4)),
    ("aesthetics", "L2RCLIP"): ({"train": 40, "test": 20}, (0, 4)),
    ("koniq", "sets"): ({"train": 10, "val": 5, "test": 5}, (1, 100)),
    ("koniq", "ranking adapter"): ({"train": 16, "test": 4}, (1, 5)),
    ("koniq", "scores"): ({"train": 16, "test": 4}, (1, 5)),
    ("ava", "ranking adapter"): ({"train": 12, "test": 3}, (1.667, 9.526)),
    ("ava", "votes"): ({"train": 12, "test": 3}, (1.667, 9.526)),
    ("aadb", "lists"): ({"train": 11, "val": 5, "test": 6}, (0, 1)),
    ("coco_count", "table"): ({"train": 9, "test": 4}, (1, 25)),
    ("coco_count", "COCO-ReM"): ({"train": 13, "test": 7}, (1, 7)),
    ("coco_count", "COCO"): ({"train": 13, "test": 7}, (1, 7)),
}  # fmt: skip


@pytest.mark.parametrize(("name", "protocol"), EXPECTED, ids=lambda x: x.replace(" ", "-"))
def test_load_published_reads_every_format(roots, name, protocol):
    splits = load(roots, name, protocol=protocol)
    counts, labels = EXPECTED[name, protocol]
    assert sizes(splits) == counts
    values = np.concatenate([data.values for data in splits.values()])
    np.testing.assert_allclose((values.min(), values.max()), labels, atol=1e-3)
    for split, data in splits.items():
        data.check_files()
        assert (data.split, data[0].mode) == (split, "RGB")
        assert load(roots, name, protocol=protocol, split=split).fingerprint == data.fingerprint
    assert f"{name}, protocol {protocol!r}" in repr(splits)


def test_expected_table_covers_all_protocols():
    protocols = {(row.name, row.protocol) for row in list_published().itertuples(index=False)}
    assert protocols == EXPECTED.keys()


def test_load_published_takes_the_first_complete_protocol(roots, tmp_path):
    assert load(roots, "hci").protocol.name == "NumCLIP"
    FIXTURES["hci"](tmp_path)
    (tmp_path / "data/labels/fold_0/val.txt").unlink()
    assert load({"hci": tmp_path}, "hci").protocol.name == "ranking adapter"


@pytest.mark.parametrize("name", DATASETS)
def test_folds_test_every_image_once(roots, name):
    for protocol in DATASETS[name].protocols:
        if protocol.folds <= 1 or protocol.name in ("A", "B", "NumCLIP"):
            continue
        parts = [load(roots, name, protocol=protocol.name, fold=k) for k in range(protocol.folds)]
        tested = [
            (f, v) for p in parts for f, v in zip(p["test"].images, p["test"].values, strict=True)
        ]
        both = {(f, v) for d in parts[0].values() for f, v in zip(d.images, d.values, strict=True)}
        assert len(tested) == len(set(tested)) == len(both)


def test_morph_settings_agree_on_subject_and_sex_and_differ_in_codes(roots):
    a, b = (load(roots, "morph", protocol=p, split="train") for p in "AB")
    for data, code in ((a, "1"), (b, "0")):
        assert set(data.metadata.loc[data.metadata["sex"] == "M", "gender"]) == {code}
        assert [str(p.name)[:6] for p in data.images] == data.groups.tolist()
    np.testing.assert_array_equal(a.values, a.metadata["age_in_name"].astype(float))


def test_morph_a_reads_blanks_and_commas_alike(roots):
    first, second = (load(roots, "morph", protocol="A", fold=k) for k in (0, 1))
    assert sizes(first)["test"] == 8
    assert sizes(second)["test"] == 7
    assert set(first["test"].metadata["database"]) == {"MORPH"}


def test_morph_c_leaves_out_older_persons_with_a_warning(roots):
    with pytest.warns(UserWarning, match=r"1 image left out .*81.JPG.* older than 77"):
        load_published("morph", roots["morph"], protocol="C", fold=4)


def test_leaks_are_measured(roots):
    share = r"8 of 8 test images \(100%\) have a subject that is in train"
    with pytest.warns(UserWarning, match=share):
        load_published("morph", roots["morph"], protocol="A")
    with pytest.warns(
        UserWarning, match=r"2 of 22 test images \(9%\) have a Flickr user that is in"
    ):
        load_published("adience", roots["adience"], protocol="ranking adapter")


def test_disjoint_protocols_do_not_warn(roots):
    with warnings.catch_warnings(action="error"):
        warnings.filterwarnings("ignore", "1 image left out")
        load_published("morph", roots["morph"], protocol="D", fold=1)
        load_published("adience", roots["adience"])


def test_ids_without_label_are_left_out_with_a_warning(roots):
    with pytest.warns(UserWarning, match=r"1 image left out .*face.9.9_o.*have no label"):
        load_published("adience", roots["adience"], protocol="ranking adapter")


def test_ordinalclip_takes_the_middle_of_several_labels(roots):
    test = load(roots, "morph", protocol="OrdinalCLIP", split="test")
    for labels, age, value in zip(
        test.metadata["labels"], test.metadata["age_in_name"], test.values, strict=True
    ):
        assert len(labels.split()) == 3
        assert value == min(int(age) + 2, 77)
    assert test.task.num_ranks == 101


def test_hci_of_numclip_counts_decades_from_one(roots):
    for data in load(roots, "hci", protocol="NumCLIP", fold=1).values():
        decades = [file.name[:5] for file in data.images]
        assert decades == [data.task.values[rank] for rank in data.ranks]


def test_labels_choose_column_and_task(roots):
    zscore = load(roots, "koniq", protocol="scores", label="MOS_zscore", split="train")
    assert zscore.task.name == "koniq_100"
    apparent, real = (load(roots, "clap2016", label=x, split="val") for x in ("apparent", "real"))
    np.testing.assert_array_equal(real.values - apparent.values, [1.5] * 6)
    assert apparent.metadata["std"].tolist() == [3.2 + i for i in range(6)]


def test_ava_labels_are_means_of_votes(roots):
    data = load(roots, "ava", split="train")
    # One vote for 1 and two for 2.
    assert data.values[0] == pytest.approx(5 / 3)
    assert data.metadata["std"][0] == pytest.approx(np.std([1, 2, 2]))


def test_categories_select_and_list(roots):
    urban = load(roots, "aesthetics", category="urban")
    assert sizes(urban) == {"train": 10, "test": 5}
    assert "category 'urban'" in repr(urban)
    horses = load(roots, "coco_count", category="horse", split="train")
    assert set(horses.metadata["category"]) == {"horse"}
    with pytest.raises(
        ValueError, match="category of coco_count = 'cow': must be one of dog, horse"
    ):
        load(roots, "coco_count", category="cow")
    with pytest.raises(ValueError, match="fgnet has no categories"):
        load(roots, "fgnet", category="x")


def test_counts_above_twenty_and_two_rows_of_one_image_are_kept(roots):
    splits = load(roots, "coco_count", protocol="table")
    task = splits["train"].task
    assert (task.range, task.rank_names[-1]) == ((0, 25), "twenty five")
    first = [d for d in splits.values() if any("000000000001.jpg" in str(f) for f in d.images)]
    (data,) = first  # Both rows of an image are in one split.
    assert sum(f.name == "000000000001.jpg" for f in data.images) == 2


def test_coco_annotations_are_counted_without_crowds(roots):
    train = load(roots, "coco_count", protocol="COCO", split="train")
    table = train.metadata.set_index(["path", "category"])["value"]
    for i in (0, 2, 3):
        assert table[f"{i + 1:012}.jpg", "dog"] == 1 + i % 3
    assert "000000000002.jpg" not in {path for path, _ in table.index}


OPTIONS = [
    ({"protocol": "X"}, "protocol of morph = 'X': must be one of D, A, B, C, OrdinalCLIP"),
    ({"fold": 5}, "fold of protocol 'D' = 5: must be one of 0, 1, 2, 3, 4"),
    ({"split": "val"}, "split of protocol 'D' = 'val': must be one of train, test"),
    ({"label": "height"}, "label of morph = 'height': must be one of age"),
    ({"protocol": "OrdinalCLIP", "fold": 1}, "fold = 1: protocol 'OrdinalCLIP' has a single"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_invalid_options_list_the_valid_ones(roots, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load(roots, "morph", **options)


def test_unknown_name_lists_all(tmp_path):
    with pytest.raises(ValueError, match="name = 'imdb': must be one of adience, morph"):
        load_published("imdb", tmp_path)


def test_leave_one_subject_out_has_a_fold_for_each(roots):
    tested = [set(load(roots, "fgnet", fold=k, split="test").groups) for k in range(4)]
    assert tested == [{"001"}, {"002"}, {"003"}, {"004"}]
    with pytest.raises(ValueError, match="fold = 4: must be 0 to 3"):
        load(roots, "fgnet", fold=4)


def test_wrong_folder_says_what_is_expected_and_where_it_looked(tmp_path):
    write_image(tmp_path, "a/b.jpg")
    with pytest.raises(FileNotFoundError) as caught:
        load_published("adience", tmp_path)
    message = str(caught.value)
    assert "no file 'simplified_adience_0.txt', 'simplified_adience_1.txt'" in message
    assert f"in {tmp_path} and its 1 subfolders (1 files)" in message
    assert "protocol 'ranking adapter': Adience-split.json" in message
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_published("adience", tmp_path / "none")
    with pytest.raises(NotADirectoryError):
        load_published("adience", tmp_path / "a/b.jpg")


def test_partial_folder_names_the_missing_images(tmp_path):
    FIXTURES["aadb"](tmp_path)
    for i in range(3):
        (tmp_path / f"datasetImages/farm1_{i}_abc.jpg").unlink()
    message = r"3 of 22 images are missing or ambiguous .*\n.*Validation.*, line 1: 'farm1_0"
    with pytest.raises(FileNotFoundError, match=message):
        load_published("aadb", tmp_path)
    with pytest.warns(UserWarning, match=r"left out: aadb.*3 of 22"):
        splits = load_published("aadb", tmp_path, skip_missing=True)
    assert sizes(splits) == {"train": 11, "val": 2, "test": 6}


def test_invalid_labels_name_file_and_line(tmp_path):
    FIXTURES["aadb"](tmp_path)
    list_file = tmp_path / "imgListFiles_label/imgListTestNewRegression_score.txt"
    list_file.write_text(list_file.read_text().replace("0.40", "1.40"))
    with pytest.raises(ValueError, match=r"imgListTestNewRegression_score.txt, line 3: .*1.40"):
        load_published("aadb", tmp_path)


def replace_in(root, name, old, new, count=1):
    file = next(path for path in root.rglob("*") if path.name == name)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, count))


def append(root, name, line):
    file = next(path for path in root.rglob("*") if path.name == name)
    file.write_text(file.read_text().rstrip("\n") + f"\n{line}\n")


# By data set and protocol: what is changed in which list, and what the error says.
DAMAGES = [
    ("coco_count", "table", "example-count-df.csv", "\t25\t", "\t1000000000\t",
     r"example-count-df.csv, row 6, value 1e\+09: must be a whole number from 0 to 999"),
    ("coco_count", "table", "example-count-df.csv", "\t25\t", "\t2.5\t", "row 6, value 2.5"),
    ("coco_count", "table", "example-count-df.csv", "\t25\t", "\tinf\t", "column 'value': 'inf'"),
    ("coco_count", "COCO", "instances_val2017.json", '"image_id": 9', '"image_id": 999',
     "annotation 0: image_id 999 is not in images"),
    ("ava", "votes", "AVA.txt", "2 95001 1", "2 95001 -1", "AVA.txt, line 2: votes .*whole"),
    ("koniq", "sets", "koniq10k_distributions_sets.csv", ",validation", ",foo",
     "row 4, column 'set': 'foo': must be train, val or test"),
    ("clap2015", "challenge", "total_2015.csv", "0.70", "0", "column 'stdv': '0': must be"),
    ("clap2016", "challenge", "gt_avg_test.csv", ",3.2,", ",,", "gt_avg_test.csv, row 2, column"),
    ("morph", "D", "morph_D_00.txt", " 16", " 16 17", "column 'age': '16 17': must be a number"),
    ("morph", "D", "morph_D_00.txt", " 16", " 150", r"morph_D_00.txt, line 1: .*150"),
    ("hci", "NumCLIP", "train.txt", " 1\n", " 9\n", "1 to 5 in it"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "protocol", "file", "old", "new", "message"), DAMAGES)
def test_damaged_lists_name_file_row_and_value(tmp_path, name, protocol, file, old, new, message):
    FIXTURES[name](tmp_path)
    replace_in(tmp_path, file, old, new)
    with warnings.catch_warnings(action="ignore"), pytest.raises(ValueError, match=message):
        load_published(name, tmp_path, protocol=protocol)


def test_an_image_twice_is_one_entry_or_an_error(tmp_path):
    FIXTURES["koniq"](tmp_path)
    line = (tmp_path / "koniq10k_scores_and_distributions.csv").read_text().splitlines()[1]
    append(tmp_path, "koniq10k_scores_and_distributions.csv", line)
    with pytest.warns(UserWarning, match=r"1 entries repeat an image .*row 22"):
        splits = load_published("koniq", tmp_path, protocol="scores")
    assert sum(sizes(splits).values()) == 20
    append(tmp_path, "koniq10k_scores_and_distributions.csv", line.replace("1.000", "4.000"))
    with pytest.raises(ValueError, match=r"two labels \(.*row 2: 1.000 and .*4.000\)"):
        load({"koniq": tmp_path}, "koniq", protocol="scores")


def test_an_id_with_two_labels_is_an_error(tmp_path):
    FIXTURES["ava"](tmp_path)
    append(tmp_path, "AVA.txt", "16 95000 0 0 0 0 0 0 0 0 0 9 0 22 1396")
    with pytest.raises(
        ValueError, match=r"'95000.jpg' is in .*line 1 and in .*line 16; remove one"
    ):
        load_published("ava", tmp_path)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("utkface", "UTKFace"), ("cacd", "CACD2000"), ("fgnet", "images"), ("hci", "images")],
)
def test_a_copy_of_the_images_is_an_error(tmp_path, name, folder):
    FIXTURES[name](tmp_path)
    shutil.copytree(tmp_path / folder, tmp_path / "backup")
    protocol = "images" if name == "hci" else None
    with warnings.catch_warnings(action="ignore"), pytest.raises(ValueError, match="remove one"):
        load_published(name, tmp_path, protocol=protocol)


def test_an_incomplete_protocol_is_named_where_another_is_taken(tmp_path):
    FIXTURES["morph"](tmp_path)
    (tmp_path / "morph_D_03.txt").unlink()
    with pytest.warns(UserWarning, match="'D' lacks morph_D_03.txt: protocol 'A' is taken"):
        load_published("morph", tmp_path)


def test_a_label_or_fold_chooses_a_protocol_that_has_it(roots, tmp_path):
    assert load(roots, "koniq", label="MOS_zscore").protocol.name == "ranking adapter"
    FIXTURES["hci"](tmp_path)
    shutil.rmtree(tmp_path / "data/labels/fold_0")
    assert load({"hci": tmp_path}, "hci", fold=1).protocol.name == "NumCLIP"
    with pytest.raises(ValueError, match="label of koniq = 'x': must be one of MOS, MOS_zscore"):
        load(roots, "koniq", label="x")


def test_a_list_without_test_images_is_named(tmp_path):
    FIXTURES["ava"](tmp_path)
    (tmp_path / "AVA-split.json").write_text('{"train_id": ["95000"], "test_id": []}')
    with pytest.raises(ValueError, match=r"ava, protocol 'ranking adapter': .* no images for test"):
        load_published("ava", tmp_path)


def test_labels_that_contradict_the_file_names_are_counted(tmp_path):
    FIXTURES["hci"](tmp_path)
    replace_in(tmp_path, "1930s.txt", "1930s\n", "1950s\n", 1)
    with pytest.warns(UserWarning, match=r"1 labels differ from the file names \(.*1950s"):
        load_published("hci", tmp_path, protocol="L2RCLIP")


def test_an_archive_is_named_where_lists_are_missing(tmp_path):
    (tmp_path / "morph.zip").write_bytes(b"PK")
    with pytest.raises(FileNotFoundError, match=r"there is 'morph.zip': unpack it"):
        load_published("morph", tmp_path)


@pytest.mark.parametrize("fold", [True, 1.0, "0"])
def test_fold_must_be_a_whole_number(roots, fold):
    with pytest.raises(ValueError, match=f"fold = {fold!r}: must be a whole number"):
        load(roots, "adience", fold=fold)


def test_check_published_reports_each_protocol(roots, tmp_path):
    report = "\n".join(check_published("hci", roots["hci"]))
    assert "50 images" in report
    assert "protocol 'NumCLIP': PublishedSplits(hci" in report
    FIXTURES["hci"](tmp_path)
    (tmp_path / "HCI-split.json").write_text(json.dumps({"train_id": ["decade_0"], "test_id": []}))
    report = "\n".join(check_published("hci", tmp_path))
    assert "protocol 'ranking adapter': not complete: " in report
    file = next((tmp_path / "images").iterdir())
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(OSError, match=re.escape(file.name)):
        check_published("hci", tmp_path)
    write_list(tmp_path / "empty", "x.txt", ["a"])
    with pytest.raises(FileNotFoundError, match="protocol 'images': no list"):
        check_published("hci", tmp_path / "empty")
