"""The text of rule files: which format a file has, and its rules by their names."""

from proofrank.core.formats.rules.detection import RULE_FORMATS, RULE_FORMS
from proofrank.core.formats.rules.files import RuleFile, read_rule_file
from proofrank.core.formats.rules.named import NamedRule

__all__ = ["RULE_FORMATS", "RULE_FORMS", "NamedRule", "RuleFile", "read_rule_file"]
