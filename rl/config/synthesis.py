"""The configuration of a synthesis: its input, its teacher, and the steps of its recipe, as typed models."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from rl.config.base import Strict
from rl.config.choice_steps import AnswerCheckStep, DistilStep, ExplainStep, RewriteChainStep, SelectStep
from rl.config.element_steps import BalanceStep, ElementsStep, InstructionsStep
from rl.config.law_steps import LawQuestionsStep
from rl.config.meaning_steps import SameMeaningStep
from rl.config.rephrasing_steps import RephraseStep, StylesStep
from rl.language import Lang

Scenario = Literal["consultation", "prediction", "summary", "application", "drafting"]
Way = Literal["distil", "simulate", "align"]
Perspective = Literal["plaintiff", "defendant", "prosecutor", "judge", "layman"]
SectionName = Literal["claims", "facts", "reasoning", "ruling"]


class TeacherConfig(Strict):
    """A model that is asked: a served one, or one that our engines run."""

    base_url: str | None = None
    """Address of an OpenAI-compatible server (``http://…/v1``)."""
    path: str | None = None
    """Folder of a model for vLLM engines on Ray, instead of ``base_url``."""
    replicas: int = Field(1, ge=1)
    """Engines for ``path``, on as many machines as they need."""
    tensor_parallel: int = Field(1, ge=1)
    """Devices of each engine."""
    model: str | None = None
    """Name of the served model; empty takes the only one that the server has."""
    api_key_env: str = "TEACHER_API_KEY"
    """Environment variable that holds the server's key."""
    temperature: float = Field(0.7, ge=0)
    """Sampling temperature. The seed of a request depends on its record, so that a server that honours it gives the
    same answer again."""
    max_tokens: int = Field(4096, ge=16)
    """Longest answer, thinking included (tokens)."""
    concurrency: int = Field(16, ge=1)
    """Requests in flight."""
    requests_per_s: float = Field(0.0, ge=0)
    """Rate limit (requests a second); 0 is none."""
    timeout_s: float = Field(600, gt=0)
    """Longest wait for one whole answer (seconds)."""
    retries: int = Field(4, ge=0)
    """Further attempts after a failed one, with growing pauses."""
    price_in: float = Field(0.0, ge=0)
    """Price of a million prompt tokens."""
    price_out: float = Field(0.0, ge=0)
    """Price of a million tokens of answers."""

    @model_validator(mode="after")
    def _one(self) -> TeacherConfig:
        if self.base_url and self.path:
            raise ValueError("base_url and path name two models; leave one out")
        return self

    @model_validator(mode="after")
    def _no_login(self) -> TeacherConfig:
        if self.base_url and "@" in self.base_url.partition("://")[2].partition("/")[0]:
            raise ValueError(
                f"base_url holds a login, and the configuration is written to the run folder; take it out and set the "
                f"key in {self.api_key_env}"
            )
        return self


class PolicyConfig(TeacherConfig):
    """The policy whose pass rates are measured."""

    temperature: float = Field(1.0, gt=0)
    """Sampling temperature; that of the GRPO stage."""


class MaskStep(Strict):
    """Mask the personal data of a document, each value the same way throughout."""

    step: Literal["mask"]
    officials: bool = False
    """Also the names of judges, clerks and prosecutors."""
    credit_codes: bool = False
    """Also the credit codes of companies."""


class SegmentStep(Strict):
    """Cut a judgment into its sections and read its elements, by rules."""

    step: Literal["segment"]
    needs: tuple[SectionName, ...] = ("facts", "reasoning", "ruling")
    """Sections without which a document is dropped."""


class LinkStep(Strict):
    """Link the citations of a judgment to the statute database."""

    step: Literal["link"]


class ScoreStep(Strict):
    """Have the judge score completeness and complexity of the facts, 1 to 5."""

    step: Literal["score"]
    at_least: int = Field(3, ge=1, le=5)
    """Fewest points for each of the two."""


class ScenariosStep(Strict):
    """Choose the questions of each document: scenario, way of asking, perspective."""

    step: Literal["scenarios"]
    questions: int = Field(3, ge=1)
    """Questions of each document."""
    mix: dict[Scenario, float] = Field(min_length=1)
    """Weight of each scenario."""
    ways: dict[Way, float] = Field(min_length=1)
    """Weight of each way of making a question; ``align`` needs ``queries``."""
    perspectives: tuple[Perspective, ...] = Field(min_length=1)
    """Who may ask, with ``simulate``; those that the kind of case does not have are left out."""


class QuestionStep(Strict):
    """Have the teacher write the question."""

    step: Literal["question"]
    min_chars: int = Field(20, ge=1)
    """Fewest characters of a question, without white space and characters that are not seen."""


class FindFactsStep(Strict):
    """Have the teacher find the facts that matter."""

    step: Literal["find_facts"]


class IssuesStep(Strict):
    """Have the teacher name the issues, and what to look up for each."""

    step: Literal["issues"]


class RetrieveStep(Strict):
    """Look the articles up in the statutes in force."""

    step: Literal["retrieve"]
    articles: int = Field(6, ge=1)
    """Articles that are kept."""


class DeduceStep(Strict):
    """Have the teacher apply the articles to the facts."""

    step: Literal["deduce"]


class ConcludeStep(Strict):
    """Have the teacher draw the conclusion."""

    step: Literal["conclude"]
    as_court: bool = True
    """Drop a prediction whose charges are not those of the court."""


class InternaliseStep(Strict):
    """Have the teacher rewrite the trace so that it rests on knowledge and names no material."""

    step: Literal["internalise"]


class ConvergeStep(Strict):
    """Have the teacher join the trace into one chain of thought with an answer."""

    step: Literal["converge"]


class FilterStep(Strict):
    """Drop chains and rewritings by rules: broken, repeated, of another language, with wrong citations, speaking to a
    judge."""

    step: Literal["filter"]
    min_chars: int = Field(60, ge=1)
    """Fewest characters of reasoning, or of a rewriting."""
    repetition: float = Field(0.6, ge=0, le=1)
    """Smallest share of new 8-grams in the chain."""
    language: float = Field(0.9, ge=0, le=1)
    """Smallest share of Chinese among the letters."""
    citations: bool = True
    """Also drop what cites an article that does not exist or is misquoted, by the law in force."""


class JudgeStep(Strict):
    """Have the judge score six dimensions, 1 to 10."""

    step: Literal["judge"]
    at_least: int = Field(7, ge=1, le=10)
    """Fewest points in each dimension."""


class CopiesStep(Strict):
    """Drop questions, or documents where there is no question yet, that copy an earlier one."""

    step: Literal["copies"]
    similarity: float = Field(0.8, ge=0, le=1)
    """Jaccard similarity of character 5-grams from which the later of two is dropped; 0 drops only exact copies."""


class ContaminationStep(Strict):
    """Look for the questions of benchmarks in what training would see."""

    step: Literal["contamination"]
    root: str
    """Folder with a folder for each benchmark."""
    benchmarks: tuple[str, ...] = ()
    """Names, ``name:task`` or YAML files; empty is every benchmark whose data is there."""
    drop: bool = True
    """Drop a record that holds a test question; otherwise it is only counted, and its ``meta`` names the question."""
    share: float = Field(0.5, gt=0, le=1)
    """Share of a question's 13-grams of characters in one record from which on the record holds it."""
    similarity: float = Field(0.8, gt=0, le=1)
    """Jaccard similarity to a question from which on the record holds it."""


class PassRateStep(Strict):
    """Sample the policy on each question that has a reference, and drop what it never or always solves."""

    step: Literal["pass_rate"]
    samples: int = Field(8, ge=2)
    """Answers to each question."""


Step = Annotated[
    MaskStep | SegmentStep | LinkStep | ScoreStep | ScenariosStep | QuestionStep | FindFactsStep | IssuesStep
    | RetrieveStep | DeduceStep | ConcludeStep | InternaliseStep | ConvergeStep | FilterStep | JudgeStep
    | CopiesStep | ContaminationStep | PassRateStep
    | StylesStep | RephraseStep
    | DistilStep | AnswerCheckStep | RewriteChainStep | ExplainStep | SelectStep
    | ElementsStep | BalanceStep | InstructionsStep
    | LawQuestionsStep | SameMeaningStep,
    Field(discriminator="step"),
]  # fmt: skip
STEPS: tuple[type[Strict], ...] = get_args(get_args(Step)[0])
"""The options of every step."""


class RecipeConfig(Strict):
    """The steps that every record goes through, in their order."""

    name: str
    """Short name, used in the run folder and as the task of what is written."""
    reads: Literal["documents", "choices", "statutes"] = "documents"
    """What the input holds: documents, choice questions with their right options, or names of laws in force."""
    steps: tuple[Step, ...] = Field(min_length=1)
    """Each step gets what the one before it kept."""

    @model_validator(mode="after")
    def _unique(self) -> RecipeConfig:
        names = [step.step for step in self.steps]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"a step stands in a recipe once; more than once: {', '.join(twice)}")
        return self


class SynthesisConfig(Strict):
    """A synthesis."""

    input: str
    """Folder of text files (UTF-8 or GB18030) and PDF files, one judgment each, or a file of records with ``text``
    (JSONL, Parquet); for a recipe that reads choices a file of questions, or exam papers as PDF or text files; for one
    that reads statutes ``all``, or names of laws with 、 between them.
    """
    run_dir: str
    """Folder of the run; the same folder resumes."""
    recipe: RecipeConfig
    """What is done."""
    teacher: TeacherConfig = TeacherConfig()
    """Who is asked."""
    judge: TeacherConfig = TeacherConfig(temperature=0.0)
    """Who scores; without ``base_url`` and ``path`` the teacher does."""
    policy: PolicyConfig = PolicyConfig()
    """Whose pass rates the step ``pass_rate`` measures. Its answers are not taken from ``cache``."""
    queries: str | None = None
    """Text file with a real query of a user on each line, for questions that are aligned with them."""
    limit: int | None = Field(None, ge=1)
    """Most documents that are read."""
    seed: int = Field(0, ge=0)
    """Of what is drawn, and of the requests."""
    as_of: date | None = None
    """Day whose law is read; empty is the day on which the run began."""
    cache: str | None = ".cache/teacher.sqlite"
    """SQLite file of answers by what was asked, shared by runs; empty keeps none."""
    runner: Literal["local", "ray"] = "local"
    """Where steps that ask nothing run: in this process, or on Ray Data. The records are the same to the byte."""
    lang: Lang = "en"
    """Language of the data card: English, or Chinese (``zh``)."""
    plan: bool = False
    """Print the steps and the requests to expect, and start nothing."""
