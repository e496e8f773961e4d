"""Small folders in the formats of the published data sets, with their quirks; all images made."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

DECADES = ("1930s", "1940s", "1950s", "1960s", "1970s")
CRLF = "\r\n"


def write_image(root: Path, path: str) -> None:
    """An image of 24 x 24 random pixels, which the path seeds."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(list(path.encode())).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(pixels).save(file)


def write_list(root: Path, name: str, lines: list[str], newline: str = "\n", last: bool = True):
    """A list file; ``last`` is whether its last line ends."""
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((newline.join(lines) + newline * last).encode())


def hexes(start: int, count: int) -> list[str]:
    """Made-up ids of 32 hexadecimal digits."""
    return [f"{1000 * start + i:032x}" for i in range(count)]


def adience(root: Path) -> None:
    """Five folds of three users each; the split of the ranking adapter shares a user."""
    ids = []
    for fold in range(5):
        lines = []
        for user in range(3):
            for photo in range(4):
                name = f"landmark_aligned_face.{photo}.{fold}{user}{photo}77_o"
                path = f"{fold}{user}@N00/{name}.jpg"
                write_image(root / "aligned", path)
                lines.append(f"{path} {(fold + user + photo) % 8}")
                ids.append(name)
        write_list(root, f"datalist/adience/simplified_adience_{fold}.txt", lines)
    split = {"train_id": [*ids[:38], "landmark_aligned_face.9.9_o"], "test_id": ids[38:]}
    write_list(root, "Adience-split.json", [json.dumps(split)])


def hci(root: Path) -> None:
    """Ten images a decade; NumCLIP's labels begin with 1 and its paths with ``./``."""
    rows, split = [], {"train_id": [], "test_id": []}
    for k, decade in enumerate(DECADES):
        lines = []
        for i, digits in enumerate(hexes(k, 10)):
            name = f"{decade}_decade_{digits}.jpg"
            write_image(root / "images", name)
            lines.append(f"./images/{name} {decade}")
            rows.append(f"data/imgs/decades/{name} {k + 1}")
            split["test_id" if i < 2 else "train_id"].append(f"decade_{digits}")
        write_list(root, f"datalist/hci/{decade}.txt", lines)
    for fold in range(2):
        parts = {"test": rows[fold::5], "val": rows[fold + 2 :: 5]}
        parts["train"] = [row for row in rows if row not in parts["test"] + parts["val"]]
        for name, part in parts.items():
            write_list(root, f"data/labels/fold_{fold}/{name}.txt", part)
    write_list(root, "HCI-split.json", [json.dumps(split)])


def _morph_names() -> list[tuple[str, int, str]]:
    """Twelve subjects with three photos each: name, age and sex."""
    photos = [(s, p, 16 + (5 * s + p) % 62, "MF"[s % 2]) for s in range(12) for p in range(3)]
    return [(f"{s:06}_{p}{sex}{age}.JPG", age, sex) for s, p, age, sex in photos]


def morph(root: Path) -> None:
    """Settings A (blanks and CRLF, then commas), B, C, D and OrdinalCLIP's list."""
    rows = _morph_names()
    for name, *_ in rows:
        write_image(root / "Morph" / "image", name)
    write_image(root / "Morph" / "image", "000099_0M81.JPG")
    header = "race gender age filename database"
    lines = [f"{i % 4} {int(sex == 'M')} {age} {n} MORPH" for i, (n, age, sex) in enumerate(rows)]
    for fold in range(5):
        test = lines[fold::5]
        for name, part in (("train", [x for x in lines if x not in test]), ("test", test)):
            file = f"Setting_A_fold{fold}_{name}.txt"
            if fold == 0:
                write_list(root, file, [header, *part], CRLF)
            else:
                table = [f"{i},{line.replace(' ', ',')}" for i, line in enumerate(part)]
                write_list(root, file, ["," + header.replace(" ", ","), *table])
    opposite = [
        f"{i % 2} {int(sex == 'F')} {age} {n} MORPH" for i, (n, age, sex) in enumerate(rows)
    ]
    for fold in range(3):
        write_list(root, f"Setting_B_fold{fold}.txt", [header, *opposite[fold::3]], CRLF)
    for setting, step in (("C", 1), ("D", 3)):
        for fold in range(5):
            part = [row for i, row in enumerate(rows) if (i // step) % 5 == fold]
            paths = [f"../../datasets/Morph/image/{name} {age}" for name, age, _ in part]
            if fold == 4:
                paths.append("../../datasets/Morph/image/000099_0M81.JPG 81")
            write_list(root, f"morph_{setting}_0{fold}.txt", paths)
    several = [f"{name} {age} {min(age + 2, 77)} {age + 1}" for name, age, _ in rows]
    write_list(root, "ET_proto_train.txt", [line.rsplit(maxsplit=2)[0] for line in several[:24]])
    write_list(root, "ET_proto_val.txt", several[24:])


def utkface(root: Path) -> None:
    """Both spellings of the extension; one name lacks the race, one file is no face."""
    for i in range(20):
        suffix = ".jpg.chip.jpg" if i % 2 else ".jpg"
        race = "" if i == 7 else f"{i % 5}_"
        write_image(root, f"UTKFace/{6 * i}_{i % 2}_{race}201701161745{i:05}{suffix}")
    write_image(root, "UTKFace/cover.jpg")


def clap2015(root: Path) -> None:
    """CRLF, and a standard deviation for each label."""
    lines = ["filename,age,stdv,database"]
    for i in range(18):
        write_image(root, f"faces/image_{i}.jpg")
        lines.append(
            f"image_{i}.jpg,{3 + 4 * i},{0.7 + i / 3:.2f},{('train', 'val', 'test')[i % 3]}"
        )
    write_list(root, "clap2015/total_2015.csv", lines, CRLF)


def clap2016(root: Path) -> None:
    """Images are named after their row, with an ending."""
    for k, split in enumerate(("train", "valid", "test")):
        lines = ["file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age"]
        for i in range(6):
            name = f"{k}0{i}.jpg"
            write_image(root, f"appa-real/{split}/{name}_face.jpg")
            lines.append(f"{name},38,{10.5 + 7 * i},{3.2 + i},{12 + 7 * i}")
        write_list(root, f"appa-real/gt_avg_{split}.csv", lines)


def fgnet(root: Path) -> None:
    """Four subjects; letters distinguish images of one age."""
    for subject in range(1, 5):
        for i, name in enumerate(("A02", "A17", "A43a", "A43b")):
            write_image(root, f"images/{subject:03}{name}.{'JPG' if i else 'jpg'}")


def cacd(root: Path) -> None:
    """Six persons with underscores in their names."""
    for person in ("Ada_Lovelace", "Emmy_Noether", "Mary", "Sofja_W_Kow", "Lise_M", "Grace_H"):
        for i in range(3):
            write_image(root, f"CACD2000/{14 + 16 * i}_{person}_{i:04}.jpg")


def aesthetics(root: Path) -> None:
    """Grades 1.0 to 5.0 after a tab; the last line has no end."""
    for k, category in enumerate(("animals", "nature", "people", "urban")):
        for split, count in (("train", 10), ("test", 5)):
            lines = []
            for i in range(count):
                name = f"{7000 + 100 * k + 20 * (split == 'test') + i}.png"
                write_image(root / "beauty" / category, name)
                lines.append(f"{name}\t{1 + i % 5}.0")
            write_list(root, f"datalist/crowdbeauty/{category}_{split}.txt", lines, last=False)


def koniq(root: Path) -> None:
    """Opinion scores on two scales, and two published splits."""
    scores = ["image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,MOS_zscore"]
    sets = ["image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set"]
    for i in range(20):
        write_image(root, f"512x384/{9000 + i}.jpg")
        mos = 1 + 4 * i / 19
        scores.append(f"{9000 + i}.jpg,1,2,3,4,5,15,{mos:.3f},0.5,{1 + 99 * i / 19:.3f}")
        name = ("training", "training", "validation", "test")[i % 4]
        sets.append(f"{9000 + i}.jpg,.1,.2,.3,.2,.2,15,{1 + 99 * i / 19:.3f},12.5,{name}")
    write_list(root, "koniq10k_scores_and_distributions.csv", scores)
    write_list(root, "koniq10k_distributions_sets.csv", sets)
    split = {"train_id": list(range(9000, 9016)), "test_id": [str(9016 + i) for i in range(4)]}
    write_list(root, "koniqa-split.json", [json.dumps(split)])


def ava(root: Path) -> None:
    """Fifteen numbers a line: votes for 1 to 10 between ids and tags."""
    lines = []
    for i in range(15):
        write_image(root, f"images/{95000 + i}.jpg")
        votes = [int(abs(k - i % 10) <= 1) * (k + 1) for k in range(10)]
        lines.append(" ".join(map(str, (i + 1, 95000 + i, *votes, 0, 22, 1396))))
    write_list(root, "AVA.txt", lines)
    split = {
        "train_id": [str(95000 + i) for i in range(12)],
        "test_id": ["95012", "95013", "95014"],
    }
    write_list(root, "AVA-split.json", [json.dumps(split)])


def aadb(root: Path) -> None:
    """Three lists of scores from 0 to 1."""
    names = {"TrainRegression": 11, "ValidationRegression": 5, "TestNewRegression": 6}
    for k, (name, count) in enumerate(names.items()):
        lines = []
        for i in range(count):
            image = f"farm{k}_{i}_abc.jpg"
            write_image(root / "datasetImages", image)
            lines.append(f"{image} {i / (count - 1):.2f}")
        write_list(root, f"imgListFiles_label/imgList{name}_score.txt", lines)


def coco_count(root: Path) -> None:
    """Tabs in a .csv, absolute paths, an image with two kinds of objects, 25 horses, a crowd."""
    images = [f"{i:012}.jpg" for i in range(1, 13)]
    lines = ["filepath\ttitle\tcname\tvalue\tsample_weights_by_class"]
    for i, name in enumerate(images):
        write_image(root, f"{'train2017' if i < 8 else 'val2017'}/{name}")
        value = 25 if i == 3 else 1 + i % 6
        path = f"/data/someone/coco/train2017/{name}"
        lines.append(f"{path}\tRank the numbers of horse.\thorse\t{value}\t0.125")
        if i == 0:
            lines.append(f"{path}\tRank the numbers of dog.\tdog\t2\t1.0")
    write_list(root, "examples/example-count-df.csv", lines)
    for split, part in (("train", images[:8]), ("val", images[8:])):
        annotations = [
            {"image_id": int(name[:-4]), "category_id": kind, "iscrowd": int(name == images[1])}
            for i, name in enumerate(part)
            for kind, count in ((18, 1 + i % 3), (19, i))
            for _ in range(count)
        ]
        content = {
            "images": [{"id": int(name[:-4]), "file_name": name} for name in part],
            "annotations": annotations,
            "categories": [{"id": 18, "name": "dog"}, {"id": 19, "name": "horse"}],
        }
        for release in ("2017", "rem"):
            write_list(root, f"annotations/instances_{split}{release}.json", [json.dumps(content)])


def write_all(tmp_path_factory) -> dict[str, Path]:
    """The root folder of each fixture."""
    folders = {name: tmp_path_factory.mktemp(name) for name in FIXTURES}
    for name, write in FIXTURES.items():
        write(folders[name])
    return folders


FIXTURES: dict[str, Callable[[Path], None]] = {
    write.__name__: write
    for write in (
        adience, aesthetics, ava, aadb, cacd, clap2015, clap2016, coco_count, fgnet, hci, koniq,
        morph, utkface,
    )
}  # fmt: skip
