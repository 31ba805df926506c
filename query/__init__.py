"""The online stage: photos labelled with a bank's categories, SQL, evaluation, exports."""
