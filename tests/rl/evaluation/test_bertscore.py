"""BERTScore of a random encoder, worked out from the embeddings that transformers gives."""

import json

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from rl.errors import UserError
from rl.evaluate import main
from rl.evaluation.metrics.bertscore import BertScore

CHARACTERS = "合同无效有罪甲乙丙"
LONGEST = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random encoder of three layers."""
    found = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS]
    tokenizer = BertTokenizerFast(vocab={word: n for n, word in enumerate(words)}, model_max_length=LONGEST)
    tokenizer.save_pretrained(found)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=LONGEST, **sizes)).save_pretrained(found)
    return found


def embeddings(folder, text, layer):
    """Unit embeddings of [CLS], the characters, [SEP], straight from the whole model."""
    model = BertModel.from_pretrained(folder).eval()
    tokens = [2, *(5 + CHARACTERS.index(one) for one in text), 3]
    with torch.no_grad():
        found = model(torch.tensor([tokens]), output_hidden_states=True).hidden_states[layer][0]
    return found / found.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("layer", [1, 3])
def test_each_token_is_matched_with_the_most_similar_one(folder, layer):
    given, wanted = "合同有效", "甲合同无效"
    cosines = embeddings(folder, given, layer) @ embeddings(folder, wanted, layer).T
    precision = cosines.max(1).values[1:-1].mean()  # [CLS] and [SEP] are matched, not counted
    recall = cosines.max(0).values[1:-1].mean()
    found = BertScore(folder, layer)([given, "罪"], [wanted, "有罪有罪有罪有罪"])[0]  # with a pair of other lengths
    expected = (precision.item(), recall.item(), (2 * precision * recall / (precision + recall)).item())
    assert tuple(found) == pytest.approx(expected, abs=1e-6)


def test_order_batches_and_lengths_do_not_matter(folder):
    given, wanted = ["合同", "罪" * 40, "", " 甲 乙\n", "丙"], ["合同", "罪" * 30, "甲", "甲乙", ""]
    found = BertScore(folder, 2, batch=2)(given, wanted)
    for one, a, b in zip(found, given, wanted, strict=True):
        assert tuple(one) == pytest.approx(tuple(BertScore(folder, 2)([a], [b])[0]), abs=1e-6)
    assert found[0].f1 == pytest.approx(1, abs=1e-6) and found[3].f1 == pytest.approx(1, abs=1e-6)
    assert found[1].f1 == pytest.approx(1, abs=1e-6)  # both are cut at 22 characters
    assert found[2] == found[4] == (0, 0, 0)


def test_texts_of_a_benchmark_are_compared_on_demand(folder, tmp_path, capsys):
    rows = [{"input": "", "output": "合同有效", "answer": "合同无效"}, {"input": "", "output": "甲", "answer": "甲"}]
    path = tmp_path / "model_5_4.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["score", "--benchmark", "lexeval", "--predictions", str(path), "--json", "--task"]
    assert main([*command, "5_4", "--bertscore", str(folder), "--bertscore-layer", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    each = BertScore(folder, 2)(["合同有效", "甲"], ["合同无效", "甲"])
    assert told["bertscore_f1"] == pytest.approx((each[0].f1 + 1) / 2, abs=1e-6)
    assert told["bertscore_precision"] == pytest.approx((each[0].precision + 1) / 2, abs=1e-6)
    path.write_text('{"input": "", "output": "A", "answer": "A"}')
    assert main([*command, "1_1", "--bertscore", str(folder), "--bertscore-layer", "2"]) == 0
    assert "bertscore_f1" not in json.loads(capsys.readouterr().out)  # letters are not texts


def test_sections_of_a_judgment_are_compared(folder, tmp_path, capsys):
    document = "本院认为，甲有罪。判决如下：甲有罪。"
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": 1, "document": document, "gold": document}))
    command = ["score", "--benchmark", "judge_doc", "--predictions", str(path), "--json", "--task", "document"]
    assert main([*command, "--bertscore", str(folder), "--bertscore-layer", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["reasoning_bertscore_f1"] == pytest.approx(1, abs=1e-6)
    assert told["judgment_bertscore_f1"] == pytest.approx(1, abs=1e-6)


def test_what_does_not_fit_is_reported(folder, tmp_path, capsys):
    with pytest.raises(UserError, match="has 3 layers, and no layer 8 for BERTScore"):
        BertScore(folder)
    with pytest.raises(UserError, match="can't be loaded for BERTScore"):
        BertScore(tmp_path)
    path = tmp_path / "p.json"
    path.write_text('{"0": {"prediction": "A", "refr": "正确答案：A。"}}')
    command = ["score", "--benchmark", "jecqa", "--predictions", str(path), "--bertscore-layer", "1"]
    assert main([*command, "--bertscore", str(folder)]) == 2
    assert "JEC-QA has no texts to compare; leave out --bertscore" in capsys.readouterr().err
    assert main([*command, "--bertscore", str(tmp_path / "none")]) == 2
    assert "is not a folder; BERTScore needs" in capsys.readouterr().err
