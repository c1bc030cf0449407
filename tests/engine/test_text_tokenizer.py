"""A tokenizer.json: text to ids and back, and what is said where it is missing or damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from tokenizers import processors

from engine.text import Tokenizer
from engine.text.tokenizer import why_not
from tests.engine.vocabularies import CORPUS, TEXTS, byte_level, tokenizer_of


class TestATokenizer:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        library = byte_level()
        library.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
        library.enable_truncation(3)
        library.enable_padding(length=20)
        library.save(str(tmp_path / "tokenizer.json"))
        return tmp_path

    def opened(self, folder: Path) -> Tokenizer:
        tokenizer, why = Tokenizer.open(folder)
        assert tokenizer is not None
        assert why == ""
        return tokenizer

    def test_adds_the_special_tokens_of_its_file(self, folder: Path) -> None:
        tokenizer = self.opened(folder)
        assert tokenizer.encode("the cat")[0] == 0
        assert tokenizer.encode("") == [0]

    def test_neither_cuts_a_prompt_nor_pads_it(self, folder: Path) -> None:
        tokenizer = self.opened(folder)
        text = "the cat sat on the mat, and the dog did not"
        assert tokenizer.decode(tokenizer.encode(text)) == text

    @given(TEXTS)
    @settings(deadline=None)
    def test_decodes_what_it_encodes(self, text: str) -> None:
        tokenizer = tokenizer_of(byte_level)
        plain = text.replace("<s>", "").replace("</s>", "").replace("ü", "u")
        assert tokenizer.decode(tokenizer.encode(plain)) == plain

    def test_agrees_with_transformers(self, folder: Path) -> None:
        from transformers import PreTrainedTokenizerFast

        theirs = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        ours = self.opened(folder)
        for text in CORPUS:
            assert ours.encode(text) == theirs(text)["input_ids"]
            assert ours.decode(ours.encode(text)) == theirs.decode(
                theirs(text)["input_ids"], skip_special_tokens=True, clean_up_tokenization_spaces=False
            )

    def test_refuses_what_is_no_text(self, folder: Path) -> None:
        with pytest.raises(ValueError, match="half of a surrogate pair"):
            self.opened(folder).encode("a\udcffb")

    def test_special_and_unknown_ids_have_no_text(self, folder: Path) -> None:
        tokenizer = self.opened(folder)
        assert tokenizer.decode([0, 5000, *tokenizer.encode("cat"), 1]) == "cat"
        assert (tokenizer.token(0), tokenizer.token(5000)) == (None, None)

    def test_is_none_without_its_file(self, tmp_path: Path) -> None:
        assert Tokenizer.open(tmp_path) == (None, f"{tmp_path} has no tokenizer.json")

    @pytest.mark.parametrize("files", [["tokenizer.model"], ["vocab.json", "merges.txt"], ["vocab.txt"]])
    def test_says_what_else_there_is(self, tmp_path: Path, files: list[str]) -> None:
        for file in files:
            (tmp_path / file).touch()
        tokenizer, why = Tokenizer.open(tmp_path)
        assert tokenizer is None
        assert why == why_not(tmp_path)
        assert all(file in why for file in files)
        assert "save_pretrained" in why

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "EOF"), (b"{", "EOF"), (b"[]", "sequence"), (b"{}", "Model missing"), (b"\xff\xfe{}", "UTF-8"),
            (b'{"version": "9"}', "version"), (b"\n\n\x00\n", "line 3"),
            (b'{"version": "1.0", "model": {"type": "Sorcery"}}', "ModelUntagged"),
        ],
    )  # fmt: skip
    def test_that_is_damaged_is_one_line_with_its_file(self, tmp_path: Path, content: bytes, told: str) -> None:
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(ValueError, match=told) as caught:
            Tokenizer.open(tmp_path)
        assert str(caught.value).startswith(str(tmp_path / "tokenizer.json"))
        assert "\n" not in str(caught.value)

    def test_that_was_not_downloaded_is_told_from_a_damaged_one(self, tmp_path: Path) -> None:
        path = tmp_path / "tokenizer.json"
        path.write_bytes(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9085657\n".encode())
        with pytest.raises(ValueError) as caught:
            Tokenizer.open(tmp_path)
        assert str(caught.value) == f"{path} is a Git-LFS pointer, not the file: run git lfs pull"

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
    def test_that_is_cut_off_is_damaged(self, folder: Path, share: float) -> None:
        path = folder / "tokenizer.json"
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ValueError, match="is damaged"):
            Tokenizer.open(folder)

    def test_a_panic_of_the_library_is_an_error_like_any_other(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Of an id that the post-processor names and does not have."""
        path = folder / "tokenizer.json"
        content = json.loads(path.read_bytes())
        content["post_processor"]["special_tokens"] = {}
        path.write_text(json.dumps(content), encoding="utf-8")
        tokenizer = self.opened(folder)
        with pytest.raises(ValueError, match=r"tokenizer\.json is damaged"):
            tokenizer.encode("the cat")
        capfd.readouterr()
