"""Small annotations in the dialects of databases, with genes on both strands, and the expected genes and exons.

The rows follow the format of each database; coordinates and names are made up. Columns are separated by two spaces, to
distinguish them from spaces within attributes.
"""

# ruff: noqa: E501

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Habit:
    """An annotation as text, with expected genes (id, name, biotype, chrom, start, end, strand, attributes) and exons."""

    name: str
    text: str
    genes: list[tuple]
    exons: list[tuple]
    attributes: tuple[str, ...] = ()
    coding: list[tuple] = field(default_factory=list)


def _rows(text: str) -> str:
    """Replace the double spaces between columns by tabs."""
    return "".join(line.replace("  ", "\t") + "\n" for line in text.strip().splitlines())


ENSEMBL_GTF = Habit(
    "ensembl_gtf",
    _rows("""
#!genome-build GRCh38.p14
#!genebuild-last-updated 2024-01
1  havana  gene  1001  1900  .  +  .  gene_id "ENSG00000000101"; gene_version "5"; gene_name "AAA1"; gene_source "havana"; gene_biotype "lncRNA";
1  havana  transcript  1001  1900  .  +  .  gene_id "ENSG00000000101"; gene_version "5"; transcript_id "ENST00000000101"; transcript_version "2"; gene_name "AAA1"; gene_biotype "lncRNA"; tag "basic";
1  havana  exon  1001  1100  .  +  .  gene_id "ENSG00000000101"; gene_version "5"; transcript_id "ENST00000000101"; exon_number "1"; gene_name "AAA1"; exon_id "ENSE00000000101";
1  havana  exon  1801  1900  .  +  .  gene_id "ENSG00000000101"; gene_version "5"; transcript_id "ENST00000000101"; exon_number "2"; gene_name "AAA1"; exon_id "ENSE00000000102";
X  ensembl_havana  gene  501  800  .  -  .  gene_id "ENSG00000000102"; gene_version "11"; gene_source "ensembl_havana"; gene_biotype "protein_coding";
X  ensembl_havana  transcript  501  800  .  -  .  gene_id "ENSG00000000102"; transcript_id "ENST00000000102"; gene_biotype "protein_coding";
X  ensembl_havana  exon  701  800  .  -  .  gene_id "ENSG00000000102"; transcript_id "ENST00000000102"; exon_number "1";
X  ensembl_havana  CDS  701  760  .  -  0  gene_id "ENSG00000000102"; transcript_id "ENST00000000102"; exon_number "1"; protein_id "ENSP00000000102";
X  ensembl_havana  start_codon  758  760  .  -  0  gene_id "ENSG00000000102"; transcript_id "ENST00000000102";
X  ensembl_havana  exon  501  600  .  -  .  gene_id "ENSG00000000102"; transcript_id "ENST00000000102"; exon_number "2";
X  ensembl_havana  CDS  554  600  .  -  0  gene_id "ENSG00000000102"; transcript_id "ENST00000000102"; exon_number "2";
X  ensembl_havana  five_prime_utr  761  800  .  -  .  gene_id "ENSG00000000102"; transcript_id "ENST00000000102";
"""),
    [
        ("ENSG00000000101", "AAA1", "lncRNA", "1", 1000, 1900, "+", "5"),
        ("ENSG00000000102", "ENSG00000000102", "protein_coding", "X", 500, 800, "-", "11"),
    ],
    [
        ("ENSG00000000101", "1", 1000, 1100),
        ("ENSG00000000101", "1", 1800, 1900),
        ("ENSG00000000102", "X", 500, 600),
        ("ENSG00000000102", "X", 700, 800),
    ],
    ("gene_version",),
    [("ENSG00000000101", 1000, 1900), ("ENSG00000000102", 553, 760)],
)

ENSEMBL_GFF3 = Habit(
    "ensembl_gff3",
    _rows("""
##gff-version 3
##sequence-region   1 1 248956422
1  GRCh38  chromosome  1  248956422  .  .  .  ID=chromosome:1;Alias=CM000663.2,chr1,NC_000001.11
###
1  havana  pseudogene  11  90  .  +  .  ID=gene:ENSG00000000201;Name=PSE1;biotype=unprocessed_pseudogene;description=made up%3B with a semicolon [Source:HGNC];gene_id=ENSG00000000201;version=5
1  havana  pseudogenic_transcript  11  90  .  +  .  ID=transcript:ENST00000000201;Parent=gene:ENSG00000000201;Name=PSE1-201;biotype=unprocessed_pseudogene;transcript_id=ENST00000000201
1  havana  exon  11  50  .  +  .  Parent=transcript:ENST00000000201;Name=ENSE1;constitutive=1;rank=1
###
1  ensembl_havana  gene  201  400  .  -  .  ID=gene:ENSG00000000202;Name=AAA2;biotype=protein_coding;gene_id=ENSG00000000202;version=7
1  ensembl_havana  mRNA  201  400  .  -  .  ID=transcript:ENST00000000202;Parent=gene:ENSG00000000202;biotype=protein_coding
1  ensembl_havana  three_prime_UTR  201  230  .  -  .  Parent=transcript:ENST00000000202
1  ensembl_havana  exon  201  260  .  -  .  Parent=transcript:ENST00000000202;Name=ENSE2
1  ensembl_havana  CDS  231  260  .  -  0  ID=CDS:ENSP00000000202;Parent=transcript:ENST00000000202
1  ensembl_havana  exon  351  400  .  -  .  Parent=transcript:ENST00000000202;Name=ENSE3
1  ensembl_havana  CDS  351  380  .  -  0  ID=CDS:ENSP00000000202;Parent=transcript:ENST00000000202
1  ensembl_havana  mRNA  241  390  .  -  .  ID=transcript:ENST00000000203;Parent=gene:ENSG00000000202;biotype=protein_coding
1  ensembl_havana  exon  241  290  .  -  .  Parent=transcript:ENST00000000203;Name=ENSE4
###
1  mirbase  ncRNA_gene  501  580  .  -  .  ID=gene:ENSG00000000203;biotype=miRNA;gene_id=ENSG00000000203;version=1
1  mirbase  miRNA  501  580  .  -  .  ID=transcript:ENST00000000204;Parent=gene:ENSG00000000203;biotype=miRNA
1  mirbase  exon  501  580  .  -  .  Parent=transcript:ENST00000000204
"""),
    [
        ("ENSG00000000201", "PSE1", "unprocessed_pseudogene", "1", 10, 90, "+", "made up; with a semicolon [Source:HGNC]"),
        ("ENSG00000000202", "AAA2", "protein_coding", "1", 200, 400, "-", ""),
        ("ENSG00000000203", "ENSG00000000203", "miRNA", "1", 500, 580, "-", ""),
    ],
    [
        ("ENSG00000000201", "1", 10, 50),
        ("ENSG00000000202", "1", 200, 290),
        ("ENSG00000000202", "1", 350, 400),
        ("ENSG00000000203", "1", 500, 580),
    ],
    ("description",),
    [("ENSG00000000201", 10, 90), ("ENSG00000000202", 230, 380), ("ENSG00000000203", 500, 580)],
)

GENCODE_GTF = Habit(
    "gencode_gtf",
    _rows("""
##description: evidence-based annotation of the human genome (GRCh38), version 45 (Ensembl 111)
##provider: GENCODE
chrX  HAVANA  gene  2001  2600  .  -  .  gene_id "ENSG00000000301.15"; gene_type "protein_coding"; gene_name "PAR1"; level 2; hgnc_id "HGNC:1"; tag "overlapping_locus"; havana_gene "OTTHUMG00000000301.2";
chrX  HAVANA  transcript  2001  2600  .  -  .  gene_id "ENSG00000000301.15"; transcript_id "ENST00000000301.6"; gene_type "protein_coding"; gene_name "PAR1"; level 2; tag "basic"; tag "CCDS";
chrX  HAVANA  exon  2001  2600  .  -  .  gene_id "ENSG00000000301.15"; transcript_id "ENST00000000301.6"; gene_type "protein_coding"; exon_number 1; exon_id "ENSE00000000301.1"; level 2;
chrY  HAVANA  gene  1001  1600  .  -  .  gene_id "ENSG00000000301.15_PAR_Y"; gene_type "protein_coding"; gene_name "PAR1"; level 2; hgnc_id "HGNC:1"; tag "PAR"; havana_gene "OTTHUMG00000000301.2_PAR_Y";
chrY  HAVANA  transcript  1001  1600  .  -  .  gene_id "ENSG00000000301.15_PAR_Y"; transcript_id "ENST00000000301.6_PAR_Y"; gene_type "protein_coding"; gene_name "PAR1"; level 2;
chrY  HAVANA  exon  1001  1600  .  -  .  gene_id "ENSG00000000301.15_PAR_Y"; transcript_id "ENST00000000301.6_PAR_Y"; gene_type "protein_coding"; exon_number 1; level 2;
chrM  ENSEMBL  gene  577  647  .  +  .  gene_id "ENSG00000000302.2"; gene_type "Mt_tRNA"; gene_name "MT-TF"; level 3; hgnc_id "HGNC:7481";
"""),
    [
        ("ENSG00000000301.15", "PAR1", "protein_coding", "chrX", 2000, 2600, "-", "2", "overlapping_locus"),
        ("ENSG00000000301.15_PAR_Y", "PAR1", "protein_coding", "chrY", 1000, 1600, "-", "2", "PAR"),
        ("ENSG00000000302.2", "MT-TF", "Mt_tRNA", "chrM", 576, 647, "+", "3", ""),
    ],
    [
        ("ENSG00000000301.15", "chrX", 2000, 2600),
        ("ENSG00000000301.15_PAR_Y", "chrY", 1000, 1600),
        ("ENSG00000000302.2", "chrM", 576, 647),
    ],
    ("level", "tag"),
)

GENCODE_GFF3 = Habit(
    "gencode_gff3",
    _rows("""
##gff-version 3
chrX  HAVANA  gene  2001  2600  .  -  .  ID=ENSG00000000301.15;gene_id=ENSG00000000301.15;gene_type=protein_coding;gene_name=PAR1;level=2
chrX  HAVANA  transcript  2001  2600  .  -  .  ID=ENST00000000301.6;Parent=ENSG00000000301.15;gene_id=ENSG00000000301.15;transcript_id=ENST00000000301.6;gene_type=protein_coding;gene_name=PAR1
chrX  HAVANA  exon  2001  2300  .  -  .  ID=exon:ENST00000000301.6:1;Parent=ENST00000000301.6;gene_id=ENSG00000000301.15
chrY  HAVANA  gene  1001  1600  .  -  .  ID=ENSG00000000301.15_PAR_Y;gene_id=ENSG00000000301.15;gene_type=protein_coding;gene_name=PAR1;level=2;tag=PAR
chrY  HAVANA  transcript  1001  1600  .  -  .  ID=ENST00000000301.6_PAR_Y;Parent=ENSG00000000301.15_PAR_Y;gene_id=ENSG00000000301.15;transcript_id=ENST00000000301.6
chrY  HAVANA  exon  1001  1300  .  -  .  ID=exon:ENST00000000301.6_PAR_Y:1;Parent=ENST00000000301.6_PAR_Y;gene_id=ENSG00000000301.15
"""),
    # Releases before 44 give both copies the same gene_id; the GTF files of these releases have the suffix.
    [
        ("ENSG00000000301.15", "PAR1", "protein_coding", "chrX", 2000, 2600, "-"),
        ("ENSG00000000301.15_PAR_Y", "PAR1", "protein_coding", "chrY", 1000, 1600, "-"),
    ],
    [("ENSG00000000301.15", "chrX", 2000, 2300), ("ENSG00000000301.15_PAR_Y", "chrY", 1000, 1300)],
)

NCBI_GTF = Habit(
    "ncbi_gtf",
    _rows("""
#gtf-version 2.2
#!genome-build GRCh38.p14
#!annotation-source NCBI RefSeq GCF_000001405.40-RS_2023_10
NC_000001.11  BestRefSeq  gene  11874  14409  .  +  .  gene_id "DDX11L1"; transcript_id ""; db_xref "GeneID:100287102"; db_xref "HGNC:HGNC:37102"; description "DEAD/H-box helicase 11 like 1 (pseudogene); made up"; gbkey "Gene"; gene "DDX11L1"; gene_biotype "transcribed_pseudogene"; pseudo "true";
NC_000001.11  BestRefSeq  transcript  11874  14409  .  +  .  gene_id "DDX11L1"; transcript_id "NR_046018.2"; db_xref "GeneID:100287102"; gbkey "misc_RNA"; gene "DDX11L1"; product "DEAD/H-box helicase 11 like 1 (pseudogene)"; transcript_biotype "transcript";
NC_000001.11  BestRefSeq  exon  11874  12227  .  +  .  gene_id "DDX11L1"; transcript_id "NR_046018.2"; gene "DDX11L1"; exon_number "1";
NC_000001.11  BestRefSeq  exon  13221  14409  .  +  .  gene_id "DDX11L1"; transcript_id "NR_046018.2"; gene "DDX11L1"; exon_number "2";
NC_000023.11  BestRefSeq  gene  276322  303356  .  +  .  gene_id "PLCXD1"; transcript_id ""; db_xref "GeneID:55344"; gbkey "Gene"; gene "PLCXD1"; gene_biotype "protein_coding";
NC_000024.10  BestRefSeq  gene  276322  303356  .  +  .  gene_id "PLCXD1_1"; transcript_id ""; db_xref "GeneID:55344"; gbkey "Gene"; gene "PLCXD1"; gene_biotype "protein_coding";
NC_000001.11  tRNAscan-SE  gene  7996  8066  .  -  .  gene_id "TRG-CCC4-1"; transcript_id ""; db_xref "GeneID:100189056"; gbkey "Gene"; gene "TRG-CCC4-1"; gene_biotype "tRNA";
"""),
    [
        ("DDX11L1", "DDX11L1", "transcribed_pseudogene", "NC_000001.11", 11873, 14409, "+", "GeneID:100287102"),
        ("PLCXD1", "PLCXD1", "protein_coding", "NC_000023.11", 276321, 303356, "+", "GeneID:55344"),
        ("PLCXD1_1", "PLCXD1", "protein_coding", "NC_000024.10", 276321, 303356, "+", "GeneID:55344"),
        ("TRG-CCC4-1", "TRG-CCC4-1", "tRNA", "NC_000001.11", 7995, 8066, "-", "GeneID:100189056"),
    ],
    [
        ("DDX11L1", "NC_000001.11", 11873, 12227),
        ("DDX11L1", "NC_000001.11", 13220, 14409),
        ("PLCXD1", "NC_000023.11", 276321, 303356),
        ("PLCXD1_1", "NC_000024.10", 276321, 303356),
        ("TRG-CCC4-1", "NC_000001.11", 7995, 8066),
    ],
    ("db_xref",),
)

NCBI_GFF3 = Habit(
    "ncbi_gff3",
    _rows("""
##gff-version 3
#!processor NCBI annotwriter
##sequence-region NC_000001.11 1 248956422
##species https://www.ncbi.nlm.nih.gov/Taxonomy/Browser/wwwtax.cgi?id=9606
NC_000001.11  RefSeq  region  1  248956422  .  +  .  ID=NC_000001.11:1..248956422;Dbxref=taxon:9606;Name=1;chromosome=1;gbkey=Src;genome=chromosome;mol_type=genomic DNA
NC_000001.11  BestRefSeq  pseudogene  11874  14409  .  +  .  ID=gene-DDX11L1;Dbxref=GeneID:100287102,HGNC:HGNC:37102;Name=DDX11L1;description=DEAD/H-box helicase 11 like 1 (pseudogene);gbkey=Gene;gene=DDX11L1;gene_biotype=transcribed_pseudogene;pseudo=true
NC_000001.11  BestRefSeq  transcript  11874  14409  .  +  .  ID=rna-NR_046018.2;Parent=gene-DDX11L1;Dbxref=GeneID:100287102;Name=NR_046018.2;gbkey=misc_RNA;gene=DDX11L1;transcript_id=NR_046018.2
NC_000001.11  BestRefSeq  exon  11874  12227  .  +  .  ID=exon-NR_046018.2-1;Parent=rna-NR_046018.2;gbkey=misc_RNA;gene=DDX11L1
NC_000001.11  BestRefSeq  exon  13221  14409  .  +  .  ID=exon-NR_046018.2-2;Parent=rna-NR_046018.2;gbkey=misc_RNA;gene=DDX11L1
NC_000001.11  Gnomon  pseudogene  20001  20500  .  -  .  ID=gene-LOC1;Dbxref=GeneID:1;Name=LOC1;gbkey=Gene;gene=LOC1;gene_biotype=pseudogene;pseudo=true
NC_000001.11  Gnomon  exon  20001  20100  .  -  .  ID=id-LOC1-2;Parent=gene-LOC1;gbkey=exon;gene=LOC1
NC_000001.11  Gnomon  exon  20401  20500  .  -  .  ID=id-LOC1;Parent=gene-LOC1;gbkey=exon;gene=LOC1
NC_000001.11  BestRefSeq  gene  30366  30503  .  -  .  ID=gene-MIR1302-2;Dbxref=GeneID:100302278,miRBase:MI0006363;Name=MIR1302-2;gbkey=Gene;gene=MIR1302-2;gene_biotype=miRNA
NC_000001.11  BestRefSeq  primary_transcript  30366  30503  .  -  .  ID=rna-NR_036051.1;Parent=gene-MIR1302-2;gbkey=precursor_RNA
NC_000001.11  BestRefSeq  exon  30366  30503  .  -  .  ID=exon-NR_036051.1-1;Parent=rna-NR_036051.1
NC_000001.11  BestRefSeq  miRNA  30438  30458  .  -  .  ID=rna-MIR1302-2;Parent=rna-NR_036051.1;gbkey=ncRNA
NC_000001.11  BestRefSeq  exon  30438  30458  .  -  .  ID=exon-MIR1302-2-1;Parent=rna-MIR1302-2
NC_000023.11  BestRefSeq  gene  276322  303356  .  +  .  ID=gene-PLCXD1;Dbxref=GeneID:55344;Name=PLCXD1;gbkey=Gene;gene=PLCXD1;gene_biotype=protein_coding
NC_000024.10  BestRefSeq  gene  276322  303356  .  +  .  ID=gene-PLCXD1-2;Dbxref=GeneID:55344;Name=PLCXD1;gbkey=Gene;gene=PLCXD1;gene_biotype=protein_coding
"""),
    [
        ("DDX11L1", "DDX11L1", "transcribed_pseudogene", "NC_000001.11", 11873, 14409, "+", "true"),
        ("LOC1", "LOC1", "pseudogene", "NC_000001.11", 20000, 20500, "-", "true"),
        ("MIR1302-2", "MIR1302-2", "miRNA", "NC_000001.11", 30365, 30503, "-", ""),
        ("PLCXD1", "PLCXD1", "protein_coding", "NC_000023.11", 276321, 303356, "+", ""),
        ("PLCXD1-2", "PLCXD1", "protein_coding", "NC_000024.10", 276321, 303356, "+", ""),
    ],
    [
        ("DDX11L1", "NC_000001.11", 11873, 12227),
        ("DDX11L1", "NC_000001.11", 13220, 14409),
        ("LOC1", "NC_000001.11", 20000, 20100),
        ("LOC1", "NC_000001.11", 20400, 20500),
        ("MIR1302-2", "NC_000001.11", 30365, 30503),
        ("PLCXD1", "NC_000023.11", 276321, 303356),
        ("PLCXD1-2", "NC_000024.10", 276321, 303356),
    ],
    ("pseudo",),
)

SGD_GFF3 = Habit(
    "sgd_gff3",
    _rows("""
##gff-version 3
#!assembly R64-4-1
chrI  SGD  chromosome  1  230218  .  .  .  ID=chrI;dbxref=NCBI:BK006935.2;Name=chrI
chrI  SGD  telomere  1  801  .  -  .  ID=TEL01L;Name=TEL01L;Note=Telomeric%20region%20on%20the%20left%20arm%20of%20Chromosome%20I
chrI  SGD  gene  335  649  .  +  .  ID=YAL069W;Name=YAL069W;Ontology_term=GO:0003674;Note=Dubious%20open%20reading%20frame%3B%20unlikely%20to%20encode%20a%20protein;display=Dubious;orf_classification=Dubious;curie=SGD:S000002143
chrI  SGD  CDS  335  649  .  +  0  Parent=YAL069W_mRNA;Name=YAL069W_CDS;orf_classification=Dubious
chrI  SGD  mRNA  335  649  .  +  .  ID=YAL069W_mRNA;Name=YAL069W_mRNA;Parent=YAL069W
chrI  SGD  gene  1807  2169  .  -  .  ID=YAL068C;Name=YAL068C;gene=PAU8;Alias=PAU8,seripauperin%20PAU8;orf_classification=Verified
chrI  SGD  CDS  1807  1900  .  -  0  Parent=YAL068C_mRNA;Name=YAL068C_CDS;orf_classification=Verified
chrI  SGD  intron  1901  2000  .  -  .  Parent=YAL068C_mRNA;Name=YAL068C_intron
chrI  SGD  CDS  2001  2169  .  -  0  Parent=YAL068C_mRNA;Name=YAL068C_CDS;orf_classification=Verified
chrI  SGD  mRNA  1807  2169  .  -  .  ID=YAL068C_mRNA;Name=YAL068C_mRNA;Parent=YAL068C
chrI  SGD  tRNA_gene  139152  139254  .  +  .  ID=tP%28UGG%29A;Name=tP(UGG)A;gene=TRN1;Alias=TRN1
chrI  SGD  noncoding_exon  139152  139187  .  +  .  Parent=tP(UGG)A_tRNA;Name=tP%28UGG%29A_noncoding_exon
chrI  SGD  noncoding_exon  139219  139254  .  +  .  Parent=tP%28UGG%29A_tRNA;Name=tP%28UGG%29A_noncoding_exon
chrI  SGD  tRNA  139152  139254  .  +  .  ID=tP%28UGG%29A_tRNA;Name=tP%28UGG%29A_tRNA;Parent=tP%28UGG%29A
chrI  SGD  transposable_element_gene  160597  164187  .  -  .  ID=YAR009C;Name=YAR009C;orf_classification=Verified
###
##FASTA
>chrI
CCACACCACACCCACACACCCACACACCACACCACACACCACACCACACCCACACACACA
CATCCTAACACTACCCTAACACAGCCCTAATCTAACCCTGGCCAACCTGTCTCTCAACTT
"""),
    [
        ("YAL069W", "YAL069W", "", "chrI", 334, 649, "+", "Dubious"),
        ("YAL068C", "PAU8", "", "chrI", 1806, 2169, "-", "Verified"),
        ("tP(UGG)A", "TRN1", "tRNA_gene", "chrI", 139151, 139254, "+", ""),
        ("YAR009C", "YAR009C", "transposable_element_gene", "chrI", 160596, 164187, "-", "Verified"),
    ],
    [
        ("YAL069W", "chrI", 334, 649),
        ("YAL068C", "chrI", 1806, 1900),
        ("YAL068C", "chrI", 2000, 2169),
        ("tP(UGG)A", "chrI", 139151, 139187),
        ("tP(UGG)A", "chrI", 139218, 139254),
        ("YAR009C", "chrI", 160596, 164187),
    ],
    ("orf_classification",),
    [("YAL069W", 334, 649), ("YAL068C", 1806, 2169), ("tP(UGG)A", 139151, 139254), ("YAR009C", 160596, 164187)],
)

POMBASE_GFF3 = Habit(
    "pombase_gff3",
    _rows("""
##gff-version 3
I  PomBase  protein_coding_gene  1  5662  .  -  .  ID=SPAC212.11;Name=tlh1
I  PomBase  mRNA  1  5662  .  -  .  ID=SPAC212.11.1;Parent=SPAC212.11
I  PomBase  CDS  1  3000  .  -  0  ID=SPAC212.11.1:exon:1;Parent=SPAC212.11.1
I  PomBase  CDS  3101  5662  .  -  0  ID=SPAC212.11.1:exon:2;Parent=SPAC212.11.1
I  PomBase  ncRNA_gene  7001  7400  .  +  .  ID=SPNCRNA.70
I  PomBase  lncRNA  7001  7400  .  +  .  ID=SPNCRNA.70.1;Parent=SPNCRNA.70
I  PomBase  pseudogene  9001  9300  .  +  .  ID=SPAC212.10
"""),
    [
        ("SPAC212.11", "tlh1", "protein_coding_gene", "I", 0, 5662, "-"),
        ("SPNCRNA.70", "SPNCRNA.70", "ncRNA_gene", "I", 7000, 7400, "+"),
        ("SPAC212.10", "SPAC212.10", "pseudogene", "I", 9000, 9300, "+"),
    ],
    [
        ("SPAC212.11", "I", 0, 3000),
        ("SPAC212.11", "I", 3100, 5662),
        ("SPNCRNA.70", "I", 7000, 7400),
        ("SPAC212.10", "I", 9000, 9300),
    ],
)

FLYBASE_GFF3 = Habit(
    "flybase_gff3",
    _rows("""
##gff-version 3
X  FlyBase  pseudogene  19961297  19969323  .  +  .  ID=FBtr0340207;Name=CR99-RA;Parent=FBgn0000099
X  FlyBase  gene  19961297  19969323  .  +  .  ID=FBgn0000099;Name=CR99
X  FlyBase  exon  19961297  19961845  .  +  .  Name=CR99:1;Parent=FBtr0340207,FBtr0340208
X  FlyBase  exon  19961800  19961900  .  +  .  Name=CR99:2;Parent=FBtr0340208,FBtr0000001
X  FlyBase  pseudogene  19961297  19961900  .  +  .  ID=FBtr0340208;Name=CR99-RB;Parent=FBgn0000099
X  FlyBase  gene  19961800  19961999  .  -  .  ID=FBgn0000100;Name=other
X  FlyBase  mRNA  19961800  19961999  .  -  .  ID=FBtr0000001;Parent=FBgn0000100
X  FlyBase  mRNA  19961297  19961845  .  -  .  ID=FBtr0000002;Parent=FBgn_not_here
X  FlyBase  exon  19961297  19961845  .  -  .  Parent=FBtr0000002
"""),
    [
        ("FBgn0000099", "CR99", "", "X", 19961296, 19969323, "+"),
        ("FBgn0000100", "other", "", "X", 19961799, 19961999, "-"),
    ],
    # One exon belongs to two transcripts of a gene, another to two genes; a child may precede its parent, and a parent may be
    # missing.
    [("FBgn0000099", "X", 19961296, 19961900), ("FBgn0000100", "X", 19961799, 19961900)],
)

WORMBASE_GFF3 = Habit(
    "wormbase_gff3",
    _rows("""
##gff-version 3
I  WormBase  gene  4116  10230  .  -  .  ID=Gene:WBGene00022277;Name=WBGene00022277;locus=homt-1;biotype=protein_coding;Alias=homt-1,Y74C9A.3
I  WormBase  mRNA  4116  10230  .  -  .  ID=Transcript:Y74C9A.3.1;Parent=Gene:WBGene00022277;Name=Y74C9A.3.1
I  WormBase  exon  4116  4358  .  -  .  Parent=Transcript:Y74C9A.3.1
"""),
    [("WBGene00022277", "WBGene00022277", "protein_coding", "I", 4115, 10230, "-", "homt-1")],
    [("WBGene00022277", "I", 4115, 4358)],
    ("locus",),
)

GFFREAD_GFF3 = Habit(
    "gffread_without_genes",
    _rows("""
# gffread merged.gtf -o merged.gff3
##gff-version 3
c  StringTie  transcript  101  300  .  -  .  ID=MSTRG.1.1;geneID=MSTRG.1;gene_name=AAA
c  StringTie  exon  101  150  .  -  .  Parent=MSTRG.1.1
c  StringTie  exon  251  300  .  -  .  Parent=MSTRG.1.1
c  StringTie  transcript  141  400  .  -  .  ID=MSTRG.1.2;geneID=MSTRG.1
c  StringTie  exon  141  400  .  -  .  Parent=MSTRG.1.2
d  StringTie  mRNA  1  50  .  +  .  ID=transcript:lonely
d  StringTie  CDS  11  40  .  +  0  Parent=transcript:lonely
"""),
    [("MSTRG.1", "AAA", "", "c", 100, 400, "-"), ("lonely", "lonely", "", "d", 0, 50, "+")],
    [("MSTRG.1", "c", 100, 400), ("lonely", "d", 10, 40)],
    (),
    [("MSTRG.1", 100, 400), ("lonely", 10, 40)],
)

PROKKA_GFF3 = Habit(
    "prokka_without_genes",
    _rows("""
##gff-version 3
##sequence-region contig1 1 5000
contig1  Prodigal:002006  CDS  101  400  .  +  0  ID=KPHNBLEG_00001;Name=dnaA;gene=dnaA;locus_tag=KPHNBLEG_00001;product=initiator
contig1  Aragorn:001002  tRNA  501  576  .  -  .  ID=KPHNBLEG_00002_tRNA;locus_tag=KPHNBLEG_00002;product=tRNA-Met(cat)
contig1  Prodigal:002006  CDS  701  800  .  -  0  ID=cds-3;locus_tag=KPHNBLEG_00003;product=one part of two
contig1  Prodigal:002006  CDS  851  900  .  -  0  ID=cds-3;locus_tag=KPHNBLEG_00003;product=the other
contig1  Prodigal:002006  CDS  1001  1300  .  +  0  ID=KPHNBLEG_00004;product=hypothetical protein
contig1  Prodigal:002006  CDS  2001  2100  .  +  0  ID=part;Parent=nobody
"""),
    [
        ("KPHNBLEG_00001", "dnaA", "", "contig1", 100, 400, "+"),
        ("KPHNBLEG_00002", "KPHNBLEG_00002", "", "contig1", 500, 576, "-"),
        ("KPHNBLEG_00003", "KPHNBLEG_00003", "", "contig1", 700, 900, "-"),
        ("KPHNBLEG_00004", "KPHNBLEG_00004", "", "contig1", 1000, 1300, "+"),
    ],
    [
        ("KPHNBLEG_00001", "contig1", 100, 400),
        ("KPHNBLEG_00002", "contig1", 500, 576),
        ("KPHNBLEG_00003", "contig1", 700, 800),
        ("KPHNBLEG_00003", "contig1", 850, 900),
        ("KPHNBLEG_00004", "contig1", 1000, 1300),
    ],
)

BED6 = Habit(
    "bed6",
    _rows("""
track name="TSS" description="one base a gene"
browser position chr1:1-100
# comment
chr1  2238  2239  YAL068C  0  -  03_TFO
chr1  21495  21600  NA  900.5  +  02_STM

"""),
    [("YAL068C", "YAL068C", "", "chr1", 2238, 2239, "-", ""), ("NA", "NA", "", "chr1", 21495, 21600, "+", "")],
    [("YAL068C", "chr1", 2238, 2239), ("NA", "chr1", 21495, 21600)],
    ("tag",),
)

BED12 = Habit(
    "bed12",
    _rows("""
chr1  100  400  g1  0  -  120  380  0  3  20,30,100,  0,100,200,
chr1  500  600  g2  0  +  500  500  255,0,0  1  100  0
"""),
    [("g1", "g1", "", "chr1", 100, 400, "-"), ("g2", "g2", "", "chr1", 500, 600, "+")],
    [("g1", "chr1", 100, 120), ("g1", "chr1", 200, 230), ("g1", "chr1", 300, 400), ("g2", "chr1", 500, 600)],
)

HABITS = [
    ENSEMBL_GTF, ENSEMBL_GFF3, GENCODE_GTF, GENCODE_GFF3, NCBI_GTF, NCBI_GFF3, SGD_GFF3, POMBASE_GFF3, FLYBASE_GFF3,
    WORMBASE_GFF3, GFFREAD_GFF3, PROKKA_GFF3, BED6, BED12,
]  # fmt: skip
