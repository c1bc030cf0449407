"""The ids that end a text: which file names them, and what is refused as none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.text import eos_ids


class TestEndIds:
    def save(self, folder: Path, **files: object) -> Path:
        for name, fields in files.items():
            (folder / f"{name}.json").write_text(json.dumps(fields), encoding="utf-8")
        return folder

    @pytest.mark.parametrize(("value", "ids"), [(2, {2}), ([2, 7], {2, 7}), (0, {0}), ([], set())])
    def test_are_one_or_several(self, tmp_path: Path, value: object, ids: set[int]) -> None:
        assert eos_ids(self.save(tmp_path, config={"eos_token_id": value})) == ids

    def test_of_the_generation_config_come_first(self, tmp_path: Path) -> None:
        folder = self.save(tmp_path, config={"eos_token_id": 2}, generation_config={"eos_token_id": [5]})
        assert eos_ids(folder) == {5}

    @pytest.mark.parametrize("generation", [{}, {"eos_token_id": None}])
    def test_of_the_config_count_where_that_names_none(self, tmp_path: Path, generation: object) -> None:
        assert eos_ids(self.save(tmp_path, config={"eos_token_id": 2}, generation_config=generation)) == {2}
        assert eos_ids(tmp_path, {"eos_token_id": 3}) == {3}

    def test_that_were_typed_outdo_those_of_both_files(self, tmp_path: Path) -> None:
        folder = self.save(tmp_path, config={"eos_token_id": 2}, generation_config={"eos_token_id": [5]})
        assert eos_ids(folder, overrides={"eos_token_id": 7}) == {7}
        assert eos_ids(folder, overrides={"hidden_size": 7}) == {5}
        with pytest.raises(ValueError, match=r"^--hf-overrides: eos_token_id is 'x', expected a token id"):
            eos_ids(folder, overrides={"eos_token_id": "x"})

    def test_are_none_where_nothing_names_them(self, tmp_path: Path) -> None:
        assert eos_ids(tmp_path) == set()

    @pytest.mark.parametrize("value", ["</s>", True, [1, None], -1, 2.0, {"a": 1}])
    def test_of_another_kind_are_refused(self, tmp_path: Path, value: object) -> None:
        folder = self.save(tmp_path, generation_config={"eos_token_id": value})
        with pytest.raises(ValueError, match=r"^generation_config.json: eos_token_id is .*, expected a token id or a"):
            eos_ids(folder)

    @pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"[" * 100_000])
    def test_in_a_damaged_file_are_an_error_with_its_name(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "generation_config.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"generation_config\.json: "):
            eos_ids(tmp_path)
