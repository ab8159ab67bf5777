"""Makes the countries graph from the facts in the PyPI package ``countryinfo``, split as in the benchmark S3.

    python -m proofrank.training.make_countries --out core/default/countries

In: the package's JSON files (name, ISO 3166 code, region, subregion and borders of each country). Out: a
dataset folder that :func:`proofrank.core.graph.load_dataset` reads. The same package, seed and sizes give the same
bytes.

The split follows the hardest of the three tasks of Bouchard, Singh and Trouillon 2015 ("On Approximate Reasoning
Capabilities of Low-Rank Vector Spaces"), as used by Rocktäschel and Riedel 2017 ("End-to-End Differentiable Proving"):
neither region nor subregion of a held-out country is known, and the regions of its neighbours are not, so that its
region has to be proved through neighbours of neighbours.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.resources
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = "countryinfo"
DEFAULT_OUT = Path("core/default/countries")
DEFAULT_SEED = 0
DEFAULT_NUM_HELD_OUT = 24

RULES = (
    "r1:1:neighborOf(X,Y), locatedInCR(Y,Z) -> locatedInCR(X,Z)",
    "r2:1:neighborOf(X,Y), neighborOf(Y,K), locatedInCR(K,Z) -> locatedInCR(X,Z)",
)


@dataclass(frozen=True)
class Country:
    """The data of one country.

    Attributes:
        code: ISO 3166-1 alpha-3.
        name: lower-case ASCII letters and digits, joined by underscores.
        region: name of its continent.
        subregion: name of a part of that continent.
        neighbors: codes of its neighbours.
    """

    code: str
    name: str
    region: str
    subregion: str
    neighbors: frozenset[str]


@dataclass(frozen=True)
class Split:
    """Codes of the countries whose region has to be proved."""

    valid: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def held_out(self) -> frozenset[str]:
        """The codes of both splits."""
        return frozenset(self.valid + self.test)


def read_countries() -> dict[str, Country]:
    """Returns the countries of the installed package by code, without those that have no region.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    folder = importlib.resources.files(SOURCE) / "data"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name
    )
    # Some countries have two files, for two spellings: the first gives the name, all give borders.
    records: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        record = json.loads(file.read_text(encoding="utf-8"))
        code = record.get("ISO", {}).get("alpha3")
        if code and record.get("region") and record.get("subregion"):
            records.setdefault(code, []).append(record)
    stated = {
        (code, other)
        for code, own in records.items()
        for record in own
        for other in record.get("borders") or ()
    }
    # A border holds in both directions, whichever country lists it.
    borders = {
        pair
        for one, other in stated
        if one != other and other in records
        for pair in ((one, other), (other, one))
    }
    return {
        code: Country(
            code=code,
            name=snake_case(own[0]["name"]),
            region=snake_case(own[0]["region"]),
            subregion=snake_case(own[0]["subregion"]),
            neighbors=frozenset(other for one, other in borders if one == code),
        )
        for code, own in sorted(records.items())
    }


def snake_case(name: str) -> str:
    """Returns ``name`` as a constant of the graph.

    >>> snake_case("Côte d'Ivoire")
    'cote_d_ivoire'
    """
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = "".join(letter if letter.isalnum() else " " for letter in ascii_name.lower())
    return "_".join(words.split())


def split_countries(countries: dict[str, Country], num_held_out: int, seed: int) -> Split:
    """Picks ``num_held_out`` test and as many valid countries, in a random order given by ``seed``.

    A country is picked only if every picked one keeps a neighbour that is not picked, and a neighbour's neighbour in
    its own region whose region stays known.

    Raises:
        ValueError: fewer countries can be held out.
    """

    # A hash instead of a random generator, so that every version of Python gives the same order.
    def order(code: str) -> bytes:
        return hashlib.sha256(f"{seed}:{code}".encode()).digest()

    picked: list[str] = []
    for code in sorted(countries, key=order):
        if len(picked) == 2 * num_held_out:
            break
        if _all_provable(countries, {*picked, code}):
            picked.append(code)
    if len(picked) < 2 * num_held_out:
        raise ValueError(f"only {len(picked)} countries can be held out; expected {2 * num_held_out}")
    return Split(valid=tuple(sorted(picked[1::2])), test=tuple(sorted(picked[::2])))


def _all_provable(countries: dict[str, Country], held_out: set[str]) -> bool:
    known = _with_known_region(countries, held_out)
    return all(
        countries[code].neighbors - held_out
        and any(
            country in known and countries[country].region == countries[code].region
            for neighbor in countries[code].neighbors
            for country in countries[neighbor].neighbors
        )
        for code in held_out
    )


def _with_known_region(countries: dict[str, Country], held_out: Iterable[str]) -> set[str]:
    """Returns the countries whose region stays a fact: neither held out nor a neighbour of one that is."""
    return set(countries).difference(held_out, *(countries[code].neighbors for code in held_out))


def dataset_files(countries: dict[str, Country], split: Split) -> dict[str, str]:
    """Returns file name -> content of the dataset, without the README."""
    known = _with_known_region(countries, split.held_out)
    train = [f"locatedInCR({countries[code].name},{countries[code].region})." for code in known]
    train += [
        f"locatedInCS({country.name},{country.subregion})."
        for code, country in countries.items()
        if code not in split.held_out
    ]
    train += {f"locatedInSR({country.subregion},{country.region})." for country in countries.values()}
    train += [
        f"neighborOf({country.name},{countries[other].name})."
        for country in countries.values()
        for other in country.neighbors
    ]
    domains = {
        "regions": {country.region for country in countries.values()},
        "subregions": {country.subregion for country in countries.values()},
        "countries": {country.name for country in countries.values()},
    }
    return {
        "train.txt": _lines(sorted(train)),
        "valid.txt": _lines(_queries(countries, split.valid)),
        "test.txt": _lines(_queries(countries, split.test)),
        "rules.txt": _lines(RULES),
        "domain2constants.txt": _lines(" ".join([name, *sorted(domain)]) for name, domain in domains.items()),
    }


def _queries(countries: dict[str, Country], codes: Iterable[str]) -> list[str]:
    return sorted(f"locatedInCR({countries[code].name},{countries[code].region})." for code in codes)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def readme(files: dict[str, str], version: str, seed: int, num_held_out: int) -> str:
    """Returns the README of the folder."""
    num_train = files["train.txt"].count("\n")
    num_known = files["train.txt"].count("locatedInCR(")
    return f"""# Countries

Countries, their regions and subregions, and their neighbours: {num_train} facts, of which {num_known} tell a
country's region; {num_held_out} countries each in `valid.txt` and `test.txt` whose region has to be proved.

- **Source**: the JSON files of the PyPI package [`{SOURCE}`](https://pypi.org/project/{SOURCE}/) {version},
  MIT licence, copyright 2018 Porimol Chandro. Countries are identified by their ISO 3166-1 alpha-3 codes,
  borders count in both directions, territories without a region are left out. Where the package is wrong, so
  is this graph.
- **Split**: as in the countries benchmark, task S3 (Bouchard et al. 2015; Rocktäschel and Riedel 2017). Of a
  country in `valid.txt` or `test.txt`, region and subregion are not in `train.txt`, and the regions of its
  neighbours are not either; the region of a neighbour's neighbour is.
- **Rules**: a country lies in the region of its neighbour (`r1`), or of its neighbour's neighbour (`r2`).
  They are not always right, which is why a proof alone does not decide. The benchmark's rule by way of
  subregions is left out, as in its task S3.
- **Command** that made these files, this one included, with `pip install {SOURCE}=={version}`:

      python -m proofrank.training.make_countries --out core/default/countries --seed {seed} --held-out {num_held_out}
"""


def write_dataset(out: Path, seed: int = DEFAULT_SEED, num_held_out: int = DEFAULT_NUM_HELD_OUT) -> None:
    """Writes the dataset into the folder ``out``, made if it does not exist.

    Raises:
        ModuleNotFoundError: the package is not installed.
        ValueError: fewer countries can be held out.
    """
    countries = read_countries()
    split = split_countries(countries, num_held_out, seed)
    files = dataset_files(countries, split)
    files["README.md"] = readme(files, importlib.metadata.version(SOURCE), seed, num_held_out)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).write_text(content, encoding="utf-8", newline="\n")
    num_known = len(_with_known_region(countries, split.held_out))
    print(
        f"{out}: {len(countries)} countries, region known of {num_known}, {num_held_out} held out per split"
    )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m proofrank.training.make_countries",
        description="Makes the countries graph from the facts in the PyPI package countryinfo.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to write")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="seed of the split")
    parser.add_argument(
        "--held-out",
        type=int,
        default=DEFAULT_NUM_HELD_OUT,
        help="number of test countries, and of valid ones",
    )
    arguments = parser.parse_args()
    write_dataset(arguments.out, arguments.seed, arguments.held_out)


if __name__ == "__main__":
    main()
